// RUN: ft opt %s -p ft-fuse | filecheck %s

// Softmax of rows is one kernel; the product is another, reading a movement of a value that the first stored.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[8, 16], f32>, %[[W:.*]]: !ft.tensor<[8, 4], f32>)
// CHECK-NEXT:   %[[P:.*]] = ft.kernel(%[[X]]) : !ft.tensor<[8, 16], f32> {
// CHECK-NEXT:   ^{{.*}}(%[[A:.*]]: !ft.tensor<[8, 16], f32>):
// CHECK-NEXT:     %[[M:.*]] = ft.amax(%[[A]])
// CHECK-NEXT:     %[[B:.*]] = ft.sub(%[[A]], %[[M]])
// CHECK-NEXT:     %[[E:.*]] = ft.exp(%[[B]])
// CHECK-NEXT:     %[[S:.*]] = ft.sum(%[[E]])
// CHECK-NEXT:     %[[Q:.*]] = ft.true_divide(%[[E]], %[[S]])
// CHECK-NEXT:     ft.yield(%[[Q]])
// CHECK-NEXT:   }
// CHECK-NEXT:   %[[T:.*]] = ft.permute(%[[P]]) {dims = [1, 0]}
// CHECK-NEXT:   %[[Y:.*]] = ft.kernel(%[[T]], %[[W]]) : !ft.tensor<[16, 4], f32> {
// CHECK-NEXT:   ^{{.*}}(%[[C:.*]]: !ft.tensor<[16, 8], f32, [1, 16]>, %[[D:.*]]: !ft.tensor<[8, 4], f32>):
// CHECK-NEXT:     %[[O:.*]] = ft.mm(%[[C]], %[[D]])
// CHECK-NEXT:     ft.yield(%[[O]])
// CHECK-NEXT:   }
// CHECK-NEXT:   func.return %[[Y]]

func.func @main(%x: !ft.tensor<[8, 16], f32>, %w: !ft.tensor<[8, 4], f32>) -> !ft.tensor<[16, 4], f32> {
  %dead = ft.exp(%x) : !ft.tensor<[8, 16], f32>
  %m = ft.amax(%x) {dims = [1], keepdim = true} : !ft.tensor<[8, 1], f32>
  %b = ft.sub(%x, %m) : !ft.tensor<[8, 16], f32>
  %e = ft.exp(%b) : !ft.tensor<[8, 16], f32>
  %s = ft.sum(%e) {dims = [1], keepdim = true} : !ft.tensor<[8, 1], f32>
  %q = ft.true_divide(%e, %s) : !ft.tensor<[8, 16], f32>
  %t = ft.permute(%q) {dims = [1, 0]} : !ft.tensor<[16, 8], f32, [1, 16]>
  %y = ft.mm(%t, %w) : !ft.tensor<[16, 4], f32>
  func.return %y : !ft.tensor<[16, 4], f32>
}
