// RUN: ft opt %s -p ft-own-results --split-input-file | filecheck %s

// What is returned a second time is copied, and so is an argument; a view of a value shares its memory, as in torch.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[2, 3], f32>)
// CHECK-NEXT:   %[[Y:.*]] = ft.exp(%[[X]]) : !ft.tensor<[2, 3], f32>
// CHECK-NEXT:   %[[T:.*]] = ft.permute(%[[Y]]) {dims = [1, 0]} : !ft.tensor<[3, 2], f32, [1, 3]>
// CHECK-NEXT:   %[[Z:.*]] = ft.clone(%[[Y]]) {strides = [3, 1]} : !ft.tensor<[2, 3], f32>
// CHECK-NEXT:   %[[W:.*]] = ft.clone(%[[X]]) {strides = [3, 1]} : !ft.tensor<[2, 3], f32>
// CHECK-NEXT:   func.return %[[Y]], %[[T]], %[[Z]], %[[W]]

func.func @main(%x: !ft.tensor<[2, 3], f32>)
    -> (!ft.tensor<[2, 3], f32>, !ft.tensor<[3, 2], f32, [1, 3]>, !ft.tensor<[2, 3], f32>, !ft.tensor<[2, 3], f32>) {
  %y = ft.exp(%x) : !ft.tensor<[2, 3], f32>
  %t = ft.permute(%y) {dims = [1, 0]} : !ft.tensor<[3, 2], f32, [1, 3]>
  func.return %y, %t, %y, %x : !ft.tensor<[2, 3], f32>, !ft.tensor<[3, 2], f32, [1, 3]>, !ft.tensor<[2, 3], f32>, !ft.tensor<[2, 3], f32>
}

// -----

// A repeated view with holes between its elements: the memory is copied and viewed alike.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[2, 3], f32>)
// CHECK-NEXT:   %[[Y:.*]] = ft.exp(%[[X]]) : !ft.tensor<[2, 3], f32>
// CHECK-NEXT:   %[[V:.*]] = ft.slice(%[[Y]])
// CHECK-NEXT:   %[[Z:.*]] = ft.clone(%[[Y]]) {strides = [3, 1]} : !ft.tensor<[2, 3], f32>
// CHECK-NEXT:   %[[W:.*]] = ft.as_strided(%[[Z]]) {{.*}}offset = 1{{.*}} : !ft.tensor<[2, 1], f32, [3, 1]>
// CHECK-NEXT:   func.return %[[V]], %[[W]]

func.func @main(%x: !ft.tensor<[2, 3], f32>) -> (!ft.tensor<[2, 1], f32, [3, 1]>, !ft.tensor<[2, 1], f32, [3, 1]>) {
  %y = ft.exp(%x) : !ft.tensor<[2, 3], f32>
  %v = ft.slice(%y) {dim = 1, start = 1, length = 1, step = 1} : !ft.tensor<[2, 1], f32, [3, 1]>
  func.return %v, %v : !ft.tensor<[2, 1], f32, [3, 1]>, !ft.tensor<[2, 1], f32, [3, 1]>
}
