// RUN: ft opt %s --verify-diagnostics | filecheck %s

// CHECK: (L8) load: a stride is due for strided access only

loops.kernel "k" tier "avx512" words ["p0", "n"] {
^bb0(%u: index, %x: !loops.ptr, %n: index):
  loops.strip %u to %n unroll #builtin.int<1> {
  ^bb1(%i: index):
    %a = loops.load "strided" %x[%i] : !loops.lanes<"f32">
    loops.yield
  }
  loops.yield
}
