// RUN: ft opt %s --verify-diagnostics | filecheck %s

// CHECK: (L3) for: body arguments and initial values differ in type

loops.kernel "k" tier "avx512" words ["n"] {
^bb0(%u: index, %n: index):
  %start = loops.identity "max" : !loops.lanes<"f32">
  %r = loops.for %u to %n carry(%start : !loops.lanes<"f32">) -> !loops.lanes<"f32"> {
  ^bb1(%i: index, %acc: !loops.lanes<"f64">):
    loops.yield %start : !loops.lanes<"f32">
  }
  loops.yield
}
