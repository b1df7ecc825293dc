// RUN: ft opt %s -p ft-dce | filecheck %s

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>)
// CHECK-NEXT:   %[[Y:.*]] = ft.neg(%[[X]]) : !ft.tensor<[4], f32>
// CHECK-NEXT:   func.return %[[Y]]

func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
  %a = ft.exp(%x) : !ft.tensor<[4], f32>
  %b = ft.mul(%a, %one) : !ft.tensor<[4], f32>
  %y = ft.neg(%x) : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}
