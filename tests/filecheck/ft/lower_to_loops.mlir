// RUN: ft opt %s -p ft-lower-to-loops{tier=avx2} | filecheck %s

// A nest kernel becomes loops and a call of them, a product the call of a template. Equal kernels are one function.

// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[64], f32>, %[[A:.*]]: !ft.tensor<[4, 2], f32>, %[[B:.*]]: !ft.tensor<[2, 3], f32>)
// CHECK-NEXT:   %[[Y:.*]] = call.loops(%[[X]]) {{\[\[}}"[[SYMBOL:k_[0-9a-f]+]]", 1, {{[0-9]+}}, 0, ["ptr", 0, 0], ["ptr", 1, 0], 64, {{.*}}]] : !ft.tensor<[64], f32>
// CHECK-NEXT:   %[[Z:.*]] = call.loops(%[[Y]]) {{\[\[}}"[[SYMBOL]]", 1
// CHECK-NEXT:   %[[C:.*]] = call.template "mm"(%[[A]], %[[B]]) {} : !ft.tensor<[4, 3], f32>
// CHECK-NEXT:   func.return %[[Z]], %[[C]]
// CHECK:      loops.kernel "[[SYMBOL]]" tier "avx2"
// CHECK:        loops.lane "exp"
// CHECK-NOT:  loops.kernel

func.func @main(%x: !ft.tensor<[64], f32>, %a: !ft.tensor<[4, 2], f32>, %b: !ft.tensor<[2, 3], f32>) -> (!ft.tensor<[64], f32>, !ft.tensor<[4, 3], f32>) {
  %y = ft.kernel(%x) : !ft.tensor<[64], f32> {
  ^bb0(%p: !ft.tensor<[64], f32>):
    %q = ft.exp(%p) : !ft.tensor<[64], f32>
    ft.yield(%q)
  }
  %z = ft.kernel(%y) : !ft.tensor<[64], f32> {
  ^bb0(%p: !ft.tensor<[64], f32>):
    %q = ft.exp(%p) : !ft.tensor<[64], f32>
    ft.yield(%q)
  }
  %c = ft.kernel(%a, %b) : !ft.tensor<[4, 3], f32> {
  ^bb0(%p: !ft.tensor<[4, 2], f32>, %q: !ft.tensor<[2, 3], f32>):
    %r = ft.mm(%p, %q) : !ft.tensor<[4, 3], f32>
    ft.yield(%r)
  }
  func.return %z, %c : !ft.tensor<[64], f32>, !ft.tensor<[4, 3], f32>
}
