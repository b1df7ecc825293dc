// RUN: ft opt %s -p loops-to-llvm | filecheck %s

// The sum of each row: one accumulator of sixteen lanes, a tail that leaves dead lanes as they were, and the tree.

// CHECK:      define void @k_sum(ptr %args, i64 %lo, i64 %hi, ptr %scratch)
// CHECK:        phi <16 x float> [ splat (float 0x0000000000000000), %{{.*}} ], [ %[[NEXT:.*]], %{{.*}} ]
// CHECK:        %[[X:.*]] = load <16 x float>, ptr %{{.*}}, align 4
// CHECK-NEXT:   %[[NEXT]] = fadd <16 x float> %{{.*}}, %[[X]]
// CHECK:        %[[OLD:.*]] = phi <16 x float>
// CHECK:        %[[MASK:.*]] = icmp ugt <16 x i32>
// CHECK:        %[[TAIL:.*]] = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %{{.*}}, <16 x i1> %[[MASK]], <16 x float> zeroinitializer)
// CHECK-NEXT:   %[[SUM:.*]] = fadd <16 x float> %[[OLD]], %[[TAIL]]
// CHECK-NEXT:   select <16 x i1> %[[MASK]], <16 x float> %[[SUM]], <16 x float> %[[OLD]]
// CHECK:        %[[H:.*]] = shufflevector <16 x float> %[[OLD]], <16 x float> poison, <16 x i32> <i32 8, i32 9,
// CHECK-NEXT:   fadd <16 x float> %[[OLD]], %[[H]]
// CHECK-NOT:    vector.reduce
// CHECK:        store float %{{.*}}, ptr %{{.*}}, align 4

loops.kernel "k_sum" tier "avx512" words ["p0", "p1", "n", "stride"] {
^bb0(%u: index, %x: !loops.ptr, %out: !loops.ptr, %n: index, %stride: index):
  %row = loops.at %x[%u] strides[%stride] bytes #builtin.int<4>
  %zero = loops.const #builtin.int<0>
  %start = loops.identity "sum" : !loops.lanes<"f32">
  %acc = loops.strip %zero to %n unroll #builtin.int<1> carry(%start : !loops.lanes<"f32">) -> !loops.lanes<"f32"> {
  ^bb1(%i: index, %old: !loops.lanes<"f32">):
    %a = loops.load "unit" %row[%i] : !loops.lanes<"f32">
    %new = loops.combine "sum" %old with %a : !loops.lanes<"f32"> with !loops.lanes<"f32"> -> !loops.lanes<"f32">
    loops.yield %new : !loops.lanes<"f32">
  }
  %total = loops.fold "sum" %acc : !loops.lanes<"f32"> -> !loops.lanes<"f32">
  loops.store "row" %total, %out[%u] : !loops.lanes<"f32">
  loops.yield
}
