// RUN: ft opt %s -p ft-simplify --split-input-file | filecheck %s

// x * 1, x / 1, x - 0 and -(-x) are x; x * -1 is -x.
// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>)
// CHECK-NEXT:   %[[E:.*]] = ft.exp(%[[X]])
// CHECK-NEXT:   %[[N:.*]] = ft.neg(%[[X]])
// CHECK-NEXT:   func.return %[[E]], %[[N]]
func.func @main(%x: !ft.tensor<[4], f32>) -> (!ft.tensor<[4], f32>, !ft.tensor<[4], f32>) {
  %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
  %zero = ft.number 0.0 : !ft.scalar<f32, 0.0>
  %minus = ft.number -1.0 : !ft.scalar<f32, -1.0>
  %a = ft.mul(%x, %one) : !ft.tensor<[4], f32>
  %b = ft.true_divide(%a, %one) : !ft.tensor<[4], f32>
  %c = ft.sub(%b, %zero) : !ft.tensor<[4], f32>
  %d = ft.neg(%c) : !ft.tensor<[4], f32>
  %f = ft.neg(%d) : !ft.tensor<[4], f32>
  %e = ft.exp(%f) : !ft.tensor<[4], f32>
  %n = ft.mul(%minus, %x) : !ft.tensor<[4], f32>
  func.return %e, %n : !ft.tensor<[4], f32>, !ft.tensor<[4], f32>
}

// -----

// Adding zero turns -0 into +0: exact for integers only. What leaves the function keeps its own memory.
// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], f32>, %[[I:.*]]: !ft.tensor<[4], i64>)
// CHECK:        %[[A:.*]] = ft.add(%[[X]], %{{.*}})
// CHECK-NEXT:   %[[E:.*]] = ft.exp(%[[A]])
// CHECK-NEXT:   %[[N:.*]] = ft.bitwise_not(%[[I]])
// CHECK-NEXT:   %[[M:.*]] = ft.mul(%[[X]], %{{.*}})
// CHECK-NEXT:   func.return %[[E]], %[[N]], %[[M]]
func.func @main(%x: !ft.tensor<[4], f32>, %i: !ft.tensor<[4], i64>) -> (!ft.tensor<[4], f32>, !ft.tensor<[4], i64>, !ft.tensor<[4], f32>) {
  %zero = ft.number 0.0 : !ft.scalar<f32, 0.0>
  %none = ft.number 0 : !ft.scalar<i64, 0>
  %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
  %a = ft.add(%x, %zero) : !ft.tensor<[4], f32>
  %e = ft.exp(%a) : !ft.tensor<[4], f32>
  %j = ft.add(%i, %none) : !ft.tensor<[4], i64>
  %n = ft.bitwise_not(%j) : !ft.tensor<[4], i64>
  %m = ft.mul(%x, %one) : !ft.tensor<[4], f32>
  func.return %e, %n, %m : !ft.tensor<[4], f32>, !ft.tensor<[4], i64>, !ft.tensor<[4], f32>
}

// -----

// Conversions: widening and back is nothing, rounding and back is not; two steps become one where the first loses nothing.
// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[4], bf16>, %[[Y:.*]]: !ft.tensor<[4], f32>, %[[I:.*]]: !ft.tensor<[4], i64>)
// CHECK-NEXT:   %[[A:.*]] = ft.exp(%[[X]])
// CHECK-NEXT:   %[[N:.*]] = ft.to(%[[Y]]) {dtype = bf16}
// CHECK-NEXT:   %[[W:.*]] = ft.to(%[[N]]) {dtype = f32}
// CHECK-NEXT:   %[[B:.*]] = ft.exp(%[[W]])
// CHECK-NEXT:   %[[C:.*]] = ft.to(%[[X]]) {dtype = f64}
// CHECK-NEXT:   %[[F:.*]] = ft.to(%[[I]]) {dtype = f64}
// CHECK-NEXT:   %[[D:.*]] = ft.to(%[[F]]) {dtype = f32}
// CHECK-NEXT:   func.return %[[A]], %[[B]], %[[C]], %[[D]]
func.func @main(%x: !ft.tensor<[4], bf16>, %y: !ft.tensor<[4], f32>, %i: !ft.tensor<[4], i64>)
    -> (!ft.tensor<[4], bf16>, !ft.tensor<[4], f32>, !ft.tensor<[4], f64>, !ft.tensor<[4], f32>) {
  %p = ft.to(%x) {dtype = f32} : !ft.tensor<[4], f32>
  %q = ft.to(%p) {dtype = bf16} : !ft.tensor<[4], bf16>
  %a = ft.exp(%q) : !ft.tensor<[4], bf16>
  %n = ft.to(%y) {dtype = bf16} : !ft.tensor<[4], bf16>
  %w = ft.to(%n) {dtype = f32} : !ft.tensor<[4], f32>
  %b = ft.exp(%w) : !ft.tensor<[4], f32>
  %c = ft.to(%p) {dtype = f64} : !ft.tensor<[4], f64>
  %f = ft.to(%i) {dtype = f64} : !ft.tensor<[4], f64>
  %d = ft.to(%f) {dtype = f32} : !ft.tensor<[4], f32>
  func.return %a, %b, %c, %d : !ft.tensor<[4], bf16>, !ft.tensor<[4], f32>, !ft.tensor<[4], f64>, !ft.tensor<[4], f32>
}

// -----

// Movements: there and back is nothing, two permutations or two views are one, a copy in the same layout is not needed.
// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[2, 3, 4], f32>)
// CHECK-NEXT:   %[[A:.*]] = ft.exp(%[[X]])
// CHECK-NEXT:   %[[Q:.*]] = ft.permute(%[[X]]) {dims = [2, 0, 1]} : !ft.tensor<[4, 2, 3], f32, [1, 12, 4]>
// CHECK-NEXT:   %[[B:.*]] = ft.exp(%[[Q]])
// CHECK-NEXT:   %[[S:.*]] = ft.view(%[[X]]) {size = [24]} : !ft.tensor<[24], f32>
// CHECK-NEXT:   %[[C:.*]] = ft.exp(%[[S]])
// CHECK-NEXT:   func.return %[[A]], %[[B]], %[[C]]
func.func @main(%x: !ft.tensor<[2, 3, 4], f32>) -> (!ft.tensor<[2, 3, 4], f32>, !ft.tensor<[4, 2, 3], f32, [1, 12, 4]>, !ft.tensor<[24], f32>) {
  %t = ft.permute(%x) {dims = [2, 1, 0]} : !ft.tensor<[4, 3, 2], f32, [1, 4, 12]>
  %u = ft.permute(%t) {dims = [2, 1, 0]} : !ft.tensor<[2, 3, 4], f32>
  %e = ft.expand(%u) {size = [2, 3, 4]} : !ft.tensor<[2, 3, 4], f32>
  %k = ft.clone(%e) {strides = [12, 4, 1]} : !ft.tensor<[2, 3, 4], f32>
  %a = ft.exp(%k) : !ft.tensor<[2, 3, 4], f32>
  %q = ft.permute(%t) {dims = [0, 2, 1]} : !ft.tensor<[4, 2, 3], f32, [1, 12, 4]>
  %b = ft.exp(%q) : !ft.tensor<[4, 2, 3], f32, [1, 12, 4]>
  %r = ft.view(%x) {size = [6, 4]} : !ft.tensor<[6, 4], f32>
  %s = ft.view(%r) {size = [24]} : !ft.tensor<[24], f32>
  %c = ft.exp(%s) : !ft.tensor<[24], f32>
  func.return %a, %b, %c : !ft.tensor<[2, 3, 4], f32>, !ft.tensor<[4, 2, 3], f32, [1, 12, 4]>, !ft.tensor<[24], f32>
}

// -----

// The same type at another offset is another value: movements merge only where the offsets add up.
// CHECK:      func.func @main(%[[X:.*]]: !ft.tensor<[8], f32>)
// CHECK-NEXT:   %[[B:.*]] = ft.as_strided(%[[X]]) {size = [2], stride = [1], offset = 2} : !ft.tensor<[2], f32>
// CHECK-NEXT:   %[[P:.*]] = ft.exp(%[[B]])
// CHECK-NEXT:   %[[C:.*]] = ft.slice(%[[X]]) {dim = 0, start = 3, length = 4, step = 1} : !ft.tensor<[4], f32>
// CHECK-NEXT:   %[[D:.*]] = ft.as_strided(%[[C]]) {size = [2], stride = [1], offset = 1} : !ft.tensor<[2], f32>
// CHECK-NEXT:   %[[Q:.*]] = ft.exp(%[[D]])
// CHECK-NEXT:   func.return %[[P]], %[[Q]]
func.func @main(%x: !ft.tensor<[8], f32>) -> (!ft.tensor<[2], f32>, !ft.tensor<[2], f32>) {
  %a = ft.slice(%x) {dim = 0, start = 0, length = 2, step = 1} : !ft.tensor<[2], f32>
  %b = ft.as_strided(%a) {size = [2], stride = [1], offset = 2} : !ft.tensor<[2], f32>
  %p = ft.exp(%b) : !ft.tensor<[2], f32>
  %c = ft.slice(%x) {dim = 0, start = 3, length = 4, step = 1} : !ft.tensor<[4], f32>
  %d = ft.as_strided(%c) {size = [2], stride = [1], offset = 1} : !ft.tensor<[2], f32>
  %q = ft.exp(%d) : !ft.tensor<[2], f32>
  func.return %p, %q : !ft.tensor<[2], f32>, !ft.tensor<[2], f32>
}
