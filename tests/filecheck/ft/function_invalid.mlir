// RUN: ft opt %s --verify-diagnostics --split-input-file | filecheck %s

// CHECK: (FT8) the module holds 1 functions; exactly one of one block, called @main, is due
func.func @other(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.exp(%x) : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT9) @main: test.op in the body
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.exp(%x) : !ft.tensor<[4], f32>
  "test.op"() : () -> ()
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT10) @main: an argument of type f32
func.func @main(%x: !ft.tensor<[4], f32>, %s: f32) -> !ft.tensor<[4], f32> {
  %y = ft.exp(%x) : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT11) @main: requires_grad on an argument of type !ft.tensor<[4], i64>
func.func @main(%x: !ft.tensor<[4], i64> {requires_grad}) -> !ft.tensor<[4], i64> {
  %y = ft.neg(%x) : !ft.tensor<[4], i64>
  func.return %y : !ft.tensor<[4], i64>
}
