// RUN: ft opt %s | filecheck %s

// A row-broadcast addition: the bias needs no address of its own, the strip is printed as it was read.

// CHECK:      loops.kernel "k_bias" tier "avx512" words ["p0", "p1", "p2", "columns", "column_chunk", "column_chunks", "stride"] {
// CHECK-NEXT: ^{{.*}}(%[[UNIT:.*]]: index, %[[X:.*]]: !loops.ptr, %[[BIAS:.*]]: !loops.ptr, %[[OUT:.*]]: !loops.ptr, %[[N:.*]]: index,
// CHECK:        %[[ROW:.*]], %[[CHUNK:.*]] = loops.split %[[UNIT]] by[%{{.*}}] -> index, index
// CHECK:        %[[AT:.*]] = loops.at %[[X]][%[[ROW]]] strides[%{{.*}}] bytes #builtin.int<4>
// CHECK:        loops.strip %{{.*}} to %{{.*}} unroll #builtin.int<4> {
// CHECK-NEXT:   ^{{.*}}(%[[I:.*]]: index):
// CHECK-NEXT:     %[[A:.*]] = loops.load "unit" %[[AT]][%[[I]]] : !loops.lanes<"f32">
// CHECK-NEXT:     %[[B:.*]] = loops.load "unit" %[[BIAS]][%[[I]]] : !loops.lanes<"f32">
// CHECK-NEXT:     %[[S:.*]] = loops.lane "add" with {}(%[[A]], %[[B]] : !loops.lanes<"f32">, !loops.lanes<"f32">) -> !loops.lanes<"f32">
// CHECK-NEXT:     loops.store "unit" %[[S]], %{{.*}}[%[[I]]] : !loops.lanes<"f32">

loops.kernel "k_bias" tier "avx512" words ["p0", "p1", "p2", "columns", "column_chunk", "column_chunks", "stride"] {
^bb0(%u: index, %x: !loops.ptr, %bias: !loops.ptr, %out: !loops.ptr, %n: index, %chunk: index, %chunks: index, %stride: index):
  %row, %c = loops.split %u by[%chunks] -> index, index
  %lo, %hi = loops.chunk %c of %chunk in %n
  %x_row = loops.at %x[%row] strides[%stride] bytes #builtin.int<4>
  %out_row = loops.at %out[%row] strides[%stride] bytes #builtin.int<4>
  loops.strip %lo to %hi unroll #builtin.int<4> {
  ^bb1(%i: index):
    %a = loops.load "unit" %x_row[%i] : !loops.lanes<"f32">
    %b = loops.load "unit" %bias[%i] : !loops.lanes<"f32">
    %s = loops.lane "add" with {}(%a, %b : !loops.lanes<"f32">, !loops.lanes<"f32">) -> !loops.lanes<"f32">
    loops.store "unit" %s, %out_row[%i] : !loops.lanes<"f32">
    loops.yield
  }
  loops.yield
}
