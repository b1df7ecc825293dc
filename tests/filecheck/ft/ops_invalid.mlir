// RUN: ft opt %s --verify-diagnostics --parsing-diagnostics --split-input-file | filecheck %s

// CHECK: (FT1) ft.mul: 1 operands where the schema has 2
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.mul(%x) : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT1) ft.layer_norm: 1 operands where the schema has 3
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %y = ft.layer_norm(%x) {normalized_shape = [4], eps = 1.0e-05, missing = [false, true, false]} : !ft.tensor<[4], f32>
  func.return %y : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT2) ft.sum: keepdim = 1 is no bool
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[], f32> {
  %s = ft.sum(%x) {dims = [0], keepdim = 1} : !ft.tensor<[], f32>
  func.return %s : !ft.tensor<[], f32>
}

// -----

// CHECK: (FT2) ft.sum: properties ['dims'] where the row has ['dims', 'keepdim']
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[], f32> {
  %s = ft.sum(%x) {dims = [0]} : !ft.tensor<[], f32>
  func.return %s : !ft.tensor<[], f32>
}

// -----

// CHECK: (FT3) ft.sum: results !ft.tensor<[1], f32> where the shape rule gives !ft.tensor<[], f32>
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[1], f32> {
  %s = ft.sum(%x) {dims = [0], keepdim = false} : !ft.tensor<[1], f32>
  func.return %s : !ft.tensor<[1], f32>
}

// -----

// A result's strides are part of its type: those of the operand, not row-major.
// CHECK: (FT3) ft.exp: results !ft.tensor<[4, 8], f32> where the shape rule gives !ft.tensor<[4, 8], f32, [1, 4]>
func.func @main(%x: !ft.tensor<[4, 8], f32, [1, 4]>) -> !ft.tensor<[4, 8], f32> {
  %s = ft.exp(%x) : !ft.tensor<[4, 8], f32>
  func.return %s : !ft.tensor<[4, 8], f32>
}

// -----

// CHECK: (FT4) ft.mul: The size of tensor a (4) must match the size of tensor b (3) at non-singleton dimension 0
func.func @main(%x: !ft.tensor<[4], f32>, %y: !ft.tensor<[3], f32>) -> !ft.tensor<[4], f32> {
  %s = ft.mul(%x, %y) : !ft.tensor<[4], f32>
  func.return %s : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT15) ft.exp: grad = #ft.static<[true, false]>
func.func @main(%x: !ft.tensor<[4], f32>) -> !ft.tensor<[4], f32> {
  %s = ft.exp(%x) attributes {grad = #ft.static<[true, false]>} : !ft.tensor<[4], f32>
  func.return %s : !ft.tensor<[4], f32>
}

// -----

// CHECK: (FT12) ft.number: 0.5 of type !ft.scalar<f32, 2.0>
func.func @main() {
  %c = ft.number 0.5 : !ft.scalar<f32, 2.0>
  func.return
}

// -----

// CHECK: 'q32' is no element type; there are i1, u8
func.func @main(%x: !ft.tensor<[4], q32>) {
  func.return
}

// -----

// CHECK: programs do not specialise on 0.75
func.func @main(%x: !ft.scalar<f32, 0.75>) {
  func.return
}

// -----

// CHECK: %z is used before it is made
func.func @main(%x: !ft.tensor<[4], f32>) {
  %y = ft.mul(%x, %z) : !ft.tensor<[4], f32>
  func.return
}
