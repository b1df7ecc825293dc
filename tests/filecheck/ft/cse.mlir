// RUN: ft opt %s -p ft-cse --split-input-file | filecheck %s

// Equal ops merge, 0.0 and -0.0 do not, and two equal values that both leave stay two.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>)
// CHECK-NEXT:   %[[A:.*]] = ft.exp(%[[X]])
// CHECK-NEXT:   %[[P:.*]] = ft.number 0.0 : !ft.scalar<f32, 0.0>
// CHECK-NEXT:   %[[M:.*]] = ft.number -0.0 : !ft.scalar<f32>
// CHECK-NEXT:   %[[C:.*]] = ft.mul(%[[A]], %[[A]])
// CHECK-NEXT:   %[[D:.*]] = ft.add(%[[C]], %[[P]])
// CHECK-NEXT:   %[[E:.*]] = ft.add(%[[C]], %[[M]])
// CHECK-NEXT:   %[[F:.*]] = ft.mul(%[[D]], %[[E]])
// CHECK-NEXT:   %[[G:.*]] = ft.mul(%[[D]], %[[E]])
// CHECK-NEXT:   func.return %[[F]], %[[G]]

func.func @main(%x: !ft.tensor<[4], f32>) -> (!ft.tensor<[4], f32>, !ft.tensor<[4], f32>) {
  %a = ft.exp(%x) : !ft.tensor<[4], f32>
  %b = ft.exp(%x) : !ft.tensor<[4], f32>
  %p = ft.number 0.0 : !ft.scalar<f32, 0.0>
  %q = ft.number 0.0 : !ft.scalar<f32, 0.0>
  %m = ft.number -0.0 : !ft.scalar<f32>
  %c = ft.mul(%a, %b) : !ft.tensor<[4], f32>
  %d = ft.add(%c, %q) : !ft.tensor<[4], f32>
  %e = ft.add(%c, %m) : !ft.tensor<[4], f32>
  %f = ft.mul(%d, %e) : !ft.tensor<[4], f32>
  %g = ft.mul(%d, %e) : !ft.tensor<[4], f32>
  func.return %f, %g : !ft.tensor<[4], f32>, !ft.tensor<[4], f32>
}

// -----

// Two draws are two draws.
// CHECK:      %[[A:.*]] = ft.draw(%[[STATE:.*]], %[[LO:.*]], %[[HI:.*]]) {
// CHECK-NEXT: %[[B:.*]] = ft.draw(%[[STATE]], %[[LO]], %[[HI]]) {
// CHECK-NEXT: ft.sub(%[[A]], %[[B]])

func.func @main(%state: !ft.scalar<i64>, %lo: !ft.scalar<f64>, %hi: !ft.scalar<f64>) -> !ft.tensor<[4], f32> {
  %a = ft.draw(%state, %lo, %hi) {kind = "uniform", size = [4], dtype = f32, p_dtype = ""} : !ft.tensor<[4], f32>
  %b = ft.draw(%state, %lo, %hi) {kind = "uniform", size = [4], dtype = f32, p_dtype = ""} : !ft.tensor<[4], f32>
  %c = ft.sub(%a, %b) : !ft.tensor<[4], f32>
  func.return %c : !ft.tensor<[4], f32>
}
