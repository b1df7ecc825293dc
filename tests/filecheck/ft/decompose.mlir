// RUN: ft opt %s -p ft-decompose | filecheck %s

// A composite becomes its parts; in bfloat16 they are computed in float32 and rounded once.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>, %[[H:.*]]: !ft.tensor<[4], bf16>)
// CHECK-NEXT:   %[[ZERO:.*]] = ft.number 0.0 : !ft.scalar<f32, 0.0>
// CHECK-NEXT:   %[[Y:.*]] = ft.maximum(%[[X]], %[[ZERO]]) : !ft.tensor<[4], f32>
// CHECK-NEXT:   %[[WIDE:.*]] = ft.to(%[[H]]) {dtype = f32} : !ft.tensor<[4], f32>
// CHECK:        %[[LAST:.*]] = ft.to(%{{.*}}) {dtype = bf16} : !ft.tensor<[4], bf16>
// CHECK-NOT:    ft.softmax
// CHECK-NEXT:   func.return %[[Y]], %[[LAST]]

func.func @main(%x: !ft.tensor<[4], f32>, %h: !ft.tensor<[4], bf16>) -> (!ft.tensor<[4], f32>, !ft.tensor<[4], bf16>) {
  %y = ft.relu(%x) : !ft.tensor<[4], f32>
  %z = ft.softmax(%h) {dim = 0, dtype = none} : !ft.tensor<[4], bf16>
  func.return %y, %z : !ft.tensor<[4], f32>, !ft.tensor<[4], bf16>
}
