// RUN: ft opt %s -p ft-grad --split-input-file | filecheck %s

// d(sum(x * x * w)) by x: contributions to x are added in the order in which they arrive, last use first, left operand first.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>, %[[W:.*]]: !ft.tensor<[4], f32>) -> (!ft.tensor<[], f32>, !ft.tensor<[4], f32>) {
// CHECK-NEXT:   %[[Y:.*]] = ft.mul(%[[X]], %[[X]])
// CHECK-NEXT:   %[[Z:.*]] = ft.mul(%[[Y]], %[[W]])
// CHECK-NEXT:   %[[S:.*]] = ft.sum(%[[Z]])
// CHECK-NEXT:   %[[ONE:.*]] = ft.number 1.0 : !ft.scalar<f32, 1.0>
// CHECK-NEXT:   %[[G:.*]] = ft.full(%[[ONE]]) {size = [], dtype = f32} : !ft.tensor<[], f32>
// CHECK:        %[[E:.*]] = ft.expand(%{{.*}}) {size = [4]} : !ft.tensor<[4], f32, [0]>
// CHECK-NEXT:   %[[DY:.*]] = ft.mul(%[[E]], %[[W]])
// CHECK-NEXT:   %[[L:.*]] = ft.mul(%[[DY]], %[[X]])
// CHECK-NEXT:   %[[R:.*]] = ft.mul(%[[DY]], %[[X]])
// CHECK-NEXT:   %[[DX:.*]] = ft.add(%[[L]], %[[R]])
// CHECK-NEXT:   func.return %[[S]], %[[DX]]

func.func @main(%x: !ft.tensor<[4], f32> {requires_grad}, %w: !ft.tensor<[4], f32>) -> !ft.tensor<[], f32> {
  %y = ft.mul(%x, %x) : !ft.tensor<[4], f32>
  %z = ft.mul(%y, %w) : !ft.tensor<[4], f32>
  %s = ft.sum(%z) {dims = [0], keepdim = false} : !ft.tensor<[], f32>
  func.return %s : !ft.tensor<[], f32>
}

// -----

// A composite is differentiated by its own rule: relu's reads the result. Nothing marked means all float arguments; an argument
// without influence gets zeros; a gradient takes its argument's layout.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[2, 3], f32, [1, 2]>, %[[U:.*]]: !ft.tensor<[3], f32>, %{{.*}}: !ft.tensor<[3], i64>)
// CHECK-SAME:     -> (!ft.tensor<[], f32>, !ft.tensor<[2, 3], f32, [1, 2]>, !ft.tensor<[3], f32>) {
// CHECK-NEXT:   %[[Y:.*]] = ft.relu(%[[X]])
// CHECK:        ft.{{[a-z]+}}(%[[Y]], %{{.*}}) : !ft.tensor<[2, 3], i1, [1, 2]>
// CHECK:        %[[GX:.*]] = ft.where({{.*}}) : !ft.tensor<[2, 3], f32, [1, 2]>
// CHECK:        %[[GU:.*]] = ft.full(%{{.*}}) {size = [3], dtype = f32}
// CHECK-NEXT:   func.return %{{.*}}, %[[GX]], %[[GU]]

func.func @main(%x: !ft.tensor<[2, 3], f32, [1, 2]>, %u: !ft.tensor<[3], f32>, %i: !ft.tensor<[3], i64>) -> !ft.tensor<[], f32> {
  %y = ft.relu(%x) : !ft.tensor<[2, 3], f32, [1, 2]>
  %s = ft.sum(%y) {dims = [0, 1], keepdim = false} : !ft.tensor<[], f32>
  func.return %s : !ft.tensor<[], f32>
}

// -----

// A detached operand hands on nothing; the mark is dropped.

// CHECK:      %[[Y:.*]] = ft.mul(%[[X:.*]], %[[X]]) : !ft.tensor<[], f32>
// CHECK-NEXT: %[[ONE:.*]] = ft.number
// CHECK-NEXT: %[[G:.*]] = ft.full(%[[ONE]])
// CHECK-NEXT: %[[DX:.*]] = ft.mul(%[[G]], %[[X]])
// CHECK-NEXT: func.return %[[Y]], %[[DX]]

func.func @main(%x: !ft.tensor<[], f32> {requires_grad}) -> !ft.tensor<[], f32> {
  %y = ft.mul(%x, %x) attributes {grad = #ft.static<[true, false]>} : !ft.tensor<[], f32>
  func.return %y : !ft.tensor<[], f32>
}
