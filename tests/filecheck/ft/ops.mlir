// RUN: ft opt %s | filecheck %s

// Every form prints as it is read: strides, numbers, static attributes of each type, composites, several results.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4, 8], f32, [1, 4]>, %[[M:.*]]: !ft.tensor<[4, 8], i1>, %[[S:.*]]: !ft.scalar<f32>)
// CHECK-NEXT:   %[[HALF:.*]] = ft.number 0.5 : !ft.scalar<f32, 0.5>
// CHECK-NEXT:   %[[TENTH:.*]] = ft.number 1.0e-05 : !ft.scalar<f32>
// CHECK-NEXT:   %[[INF:.*]] = ft.number neg_inf : !ft.scalar<f32>
// CHECK-NEXT:   %[[A:.*]] = ft.mul(%[[X]], %[[HALF]]) : !ft.tensor<[4, 8], f32, [1, 4]>
// CHECK-NEXT:   %[[B:.*]] = ft.where(%[[M]], %[[A]], %[[INF]]) : !ft.tensor<[4, 8], f32>
// CHECK-NEXT:   %[[V:.*]], %[[I:.*]] = ft.cummax(%[[B]]) {dim = 1} : !ft.tensor<[4, 8], f32>, !ft.tensor<[4, 8], i64>
// CHECK-NEXT:   %[[C:.*]] = ft.to(%[[V]]) {dtype = bf16} : !ft.tensor<[4, 8], bf16>
// CHECK-NEXT:   %[[D:.*]] = ft.sum(%[[C]]) {dims = [0, 1], keepdim = false} attributes {note = "kept"} : !ft.tensor<[], bf16>
// CHECK-NEXT:   %[[G:.*]] = ft.gelu(%[[C]]) {approximate = "tanh"} : !ft.tensor<[4, 8], bf16>
// CHECK-NEXT:   func.return %[[D]], %[[G]], %[[I]] : !ft.tensor<[], bf16>, !ft.tensor<[4, 8], bf16>, !ft.tensor<[4, 8], i64>

func.func @main(%x: !ft.tensor<[4, 8], f32, [1, 4]>, %m: !ft.tensor<[4, 8], i1>, %s: !ft.scalar<f32>)
    -> (!ft.tensor<[], bf16>, !ft.tensor<[4, 8], bf16>, !ft.tensor<[4, 8], i64>) {
  %half = ft.number 0.5 : !ft.scalar<f32, 0.5>
  %tenth = ft.number 1.0e-05 : !ft.scalar<f32>
  %inf = ft.number neg_inf : !ft.scalar<f32>
  %a = ft.mul(%x, %half) : !ft.tensor<[4, 8], f32, [1, 4]>
  %b = ft.where(%m, %a, %inf) : !ft.tensor<[4, 8], f32>
  %v, %i = ft.cummax(%b) {dim = 1} : !ft.tensor<[4, 8], f32>, !ft.tensor<[4, 8], i64>
  %c = "ft.to"(%v) <{dtype = #ft.static<bf16>}> : (!ft.tensor<[4, 8], f32>) -> !ft.tensor<[4, 8], bf16>
  %d = ft.sum(%c) {dims = [0, 1], keepdim = false} attributes {note = "kept"} : !ft.tensor<[], bf16>
  %g = ft.gelu(%c) {approximate = "tanh"} : !ft.tensor<[4, 8], bf16>
  func.return %d, %g, %i : !ft.tensor<[], bf16>, !ft.tensor<[4, 8], bf16>, !ft.tensor<[4, 8], i64>
}
