// RUN: ft opt %s -p ft-dce | filecheck %s

// What nobody reads goes, a draw stays: it moves its generator's state.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>, %[[STATE:.*]]: !ft.scalar<i64>)
// CHECK-NEXT:   %[[LO:.*]] = ft.number 0.0 : !ft.scalar<f64, 0.0>
// CHECK-NEXT:   %[[HI:.*]] = ft.number 1.0 : !ft.scalar<f64, 1.0>
// CHECK-NEXT:   %{{.*}} = ft.draw(%[[STATE]], %[[LO]], %[[HI]]) {kind = "uniform", size = [4], dtype = f32, p_dtype = ""} : !ft.tensor<[4], f32>
// CHECK-NEXT:   %[[Y:.*]] = ft.neg(%[[X]]) : !ft.tensor<[4], f32>
// CHECK-NEXT:   func.return %[[Y]]

func.func @main(%x: !ft.tensor<[4], f32>, %state: !ft.scalar<i64>) -> !ft.tensor<[4], f32> {
  %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
  %lo = ft.number 0.0 : !ft.scalar<f64, 0.0>
  %hi = ft.number 1.0 : !ft.scalar<f64, 1.0>
  %drawn = ft.draw(%state, %lo, %hi) {kind = "uniform", size = [4], dtype = f32, p_dtype = ""} : !ft.tensor<[4], f32>
  %unread = ft.exp(%drawn) : !ft.tensor<[4], f32>
  %a = ft.exp(%x) : !ft.tensor<[4], f32>
  %b = ft.mul(%a, %one) : !ft.tensor<[4], f32>
  %y = ft.neg(%x) : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}
