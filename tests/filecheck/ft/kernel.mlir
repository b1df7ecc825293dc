// RUN: ft opt %s | filecheck %s

// CHECK:      %[[S:.*]], %[[Y:.*]] = ft.kernel "scaled"(%[[X:.*]], %[[C:.*]]) : !ft.tensor<[], f32>, !ft.tensor<[4], f32> attributes {cost = 3 : i64} {
// CHECK-NEXT: ^{{.*}}(%[[A:.*]]: !ft.tensor<[4], f32>, %[[B:.*]]: !ft.scalar<f32>):
// CHECK-NEXT:   %[[P:.*]] = ft.mul(%[[A]], %[[B]]) : !ft.tensor<[4], f32>
// CHECK-NEXT:   %[[Q:.*]] = ft.sum(%[[P]]) {dims = [0], keepdim = false} : !ft.tensor<[], f32>
// CHECK-NEXT:   ft.yield(%[[Q]], %[[P]])
// CHECK-NEXT: }
// CHECK-NEXT: func.return %[[S]], %[[Y]]

func.func @main(%x: !ft.tensor<[4], f32>, %c: !ft.scalar<f32>) -> (!ft.tensor<[], f32>, !ft.tensor<[4], f32>) {
  %s, %y = ft.kernel "scaled"(%x, %c) : !ft.tensor<[], f32>, !ft.tensor<[4], f32> attributes {cost = 3 : i64} {
  ^bb0(%a: !ft.tensor<[4], f32>, %b: !ft.scalar<f32>):
    %p = ft.mul(%a, %b) : !ft.tensor<[4], f32>
    %q = ft.sum(%p) {dims = [0], keepdim = false} : !ft.tensor<[], f32>
    ft.yield(%q, %p)
  }
  func.return %s, %y : !ft.tensor<[], f32>, !ft.tensor<[4], f32>
}
