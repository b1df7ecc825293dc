// RUN: ft opt %s --verify-diagnostics --split-input-file | filecheck %s

// CHECK: (FT13) call.loops: word ["ptr", 2, 0] of k_1 with 2 operands and results
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = call.loops(%x) [["k_1", 1, 1, 0, ["ptr", 2, 0], 4]] : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT14) call.template: results !ft.tensor<[4], f32> where the row gives
func.func @main(%x: !ft.tensor<[4, 2], f32>, %y: !ft.tensor<[2, 3], f32>) -> !ft.tensor<[4], f32> {
  %z = call.template "mm"(%x, %y) {} : !ft.tensor<[4], f32>
  func.return %z : !ft.tensor<[4], f32>
}
