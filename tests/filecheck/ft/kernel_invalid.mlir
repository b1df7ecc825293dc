// RUN: ft opt %s --verify-diagnostics --split-input-file | filecheck %s

// CHECK: (FT5) ft.kernel: body arguments !ft.tensor<[4], f64> for operands !ft.tensor<[4], f32>
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f64> {
  %y = ft.kernel(%x) : !ft.tensor<[4], f64> {
  ^bb0(%a: !ft.tensor<[4], f64>):
    %p = ft.exp(%a) : !ft.tensor<[4], f64>
    ft.yield(%p)
  }
  func.return %y : !ft.tensor<[4], f64>
}

// -----

// CHECK: (FT6) ft.kernel: yields nothing for results !ft.tensor<[4], f32>
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.kernel(%x) : !ft.tensor<[4], f32> {
  ^bb0(%a: !ft.tensor<[4], f32>):
    ft.yield()
  }
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT6) ft.yield outside a kernel
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  ft.yield(%x)
}

// -----

// CHECK: (FT7) ft.kernel: ft.kernel in the body
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.kernel(%x) : !ft.tensor<[4], f32> {
  ^bb0(%a: !ft.tensor<[4], f32>):
    %p = ft.kernel(%a) : !ft.tensor<[4], f32> {
    ^bb1(%b: !ft.tensor<[4], f32>):
      %q = ft.exp(%b) : !ft.tensor<[4], f32>
      ft.yield(%q)
    }
    ft.yield(%p)
  }
  func.return %y : !ft.tensor<[4], f32>
}
