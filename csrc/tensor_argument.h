// Tensors of torch as arguments of the bindings. What the kernels trust is looked at here: dtype,
// number of elements, contiguity and the sizes. Whether arguments make sense is checked in
// ncg_fast/checks.py.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace ncg {

// A tensor, or None: then data and dtype are null and count is 0.
struct Tensor {
  void* data;
  int64_t count;
  int64_t device;   // its number; -1: the CPU
  bool here;        // whether the module's kernels reach its memory
  PyObject* dtype;  // one of torch's, which live for ever
  int n_axes;
  int64_t shape[5];  // the first axes
  bool copied;       // data is a contiguous copy of a strided tensor: it may be read, not written

  explicit operator bool() const { return dtype != nullptr; }
};

// What the bindings ask torch for; filled when the module is imported.
struct TorchNames {
  PyObject *float32, *float64, *int8, *int32, *int64, *uint8, *bool8;
  PyObject *data_ptr, *dtype, *shape, *is_contiguous, *contiguous, *get_device, *is_here;

  // memory: the attribute of a tensor that tells whether the module's kernels reach it.
  void load(const char* memory) {
    const pybind11::module_ torch = pybind11::module_::import("torch");
    const auto get = [&](const char* name) {
      return torch.attr(name).cast<pybind11::object>().release().ptr();
    };
    float32 = get("float32");
    float64 = get("float64");
    int8 = get("int8");
    int32 = get("int32");
    int64 = get("int64");
    uint8 = get("uint8");
    bool8 = get("bool");
    data_ptr = PyUnicode_InternFromString("data_ptr");
    dtype = PyUnicode_InternFromString("dtype");
    shape = PyUnicode_InternFromString("shape");
    is_contiguous = PyUnicode_InternFromString("is_contiguous");
    contiguous = PyUnicode_InternFromString("contiguous");
    get_device = PyUnicode_InternFromString("get_device");
    is_here = PyUnicode_InternFromString(memory);
  }
};
inline TorchNames torch_names;

inline PyObject* dtype_of(const float*) { return torch_names.float32; }
inline PyObject* dtype_of(const double*) { return torch_names.float64; }
inline PyObject* dtype_of(const int8_t*) { return torch_names.int8; }
inline PyObject* dtype_of(const int32_t*) { return torch_names.int32; }
inline PyObject* dtype_of(const uint64_t*) { return torch_names.int64; }  // packed states
inline PyObject* dtype_of(const uint8_t*) { return torch_names.uint8; }
inline PyObject* dtype_of(const bool*) { return torch_names.bool8; }

constexpr int64_t kMaxUnits = int64_t{1} << 23;  // 0/1 times digits: sums fit int32
constexpr int64_t kMaxChains = int64_t{1} << 31;

// a * b * ..., or the largest number, which no tensor's count is.
inline int64_t product(std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors)
    if (__builtin_mul_overflow(result, factor, &result)) return INT64_MAX;
  return result;
}

constexpr int64_t kNoDevice = -2;

// The checks of one call. They need no GIL.
struct Call {
  const char* op;
  mutable int64_t device = kNoDevice;  // of the tensors held so far: one for all

  [[noreturn]] void refuse(const char* name, const std::string& rule,
                           const std::string& actual) const {
    throw pybind11::value_error(std::string(op) + ": " + name + " must " + rule + ", got " +
                                actual + ". Call ncg_fast.ops." + op + ", which checks.");
  }

  int64_t integer(const char* name, int64_t value, int64_t low, int64_t high) const {
    if (value < low || value > high)
      refuse(name, "be in [" + std::to_string(low) + ", " + std::to_string(high) + "]",
             std::to_string(value));
    return value;
  }

  // Length of an axis of a tensor that must have n_axes of them.
  int64_t size(const char* name, const Tensor& tensor, int axis, int n_axes,
               int64_t most = kMaxUnits) const {
    if (tensor.n_axes != n_axes)
      refuse(name, "have " + std::to_string(n_axes) + " axes", std::to_string(tensor.n_axes));
    return integer(name, tensor.shape[axis], 0, most);
  }
  int64_t units(const char* name, const Tensor& bias) const {
    return integer(name, bias.count, 0, kMaxUnits);
  }

  template <class T>
  const T* read(const char* name, const Tensor& tensor, int64_t count) const {
    hold(name, tensor, dtype_of(static_cast<T*>(nullptr)), count);
    return static_cast<const T*>(tensor.data);
  }
  template <class T>
  T* write(const char* name, const Tensor& tensor, int64_t count) const {
    hold(name, tensor, dtype_of(static_cast<T*>(nullptr)), count);
    if (tensor.copied) refuse(name, "be contiguous", "a strided tensor");
    return static_cast<T*>(tensor.data);
  }
  // Null where the tensor is None.
  template <class T>
  const T* read_given(const char* name, const Tensor& tensor, int64_t count) const {
    return tensor ? read<T>(name, tensor, count) : nullptr;
  }
  template <class T>
  T* write_given(const char* name, const Tensor& tensor, int64_t count) const {
    return tensor ? write<T>(name, tensor, count) : nullptr;
  }

  void hold(const char* name, const Tensor& tensor, PyObject* dtype, int64_t count) const {
    if (tensor && device == kNoDevice) device = tensor.device;
    if (tensor && !(tensor.here && tensor.device == device)) refuse_device(name, tensor);
    const bool there = tensor.data != nullptr || count == 0;
    if (tensor.dtype == dtype && tensor.count == count && there) return;
    const pybind11::gil_scoped_acquire gil;
    const auto text = [](PyObject* kind) { return " of " + std::string(pybind11::str(kind)); };
    std::string actual = "None";
    if (tensor) actual = std::to_string(tensor.count) + text(tensor.dtype);
    if (!there) actual += " without memory";
    refuse(name, "hold " + std::to_string(count) + " elements" + text(dtype), actual);
  }

  [[noreturn]] void refuse_device(const char* name, const Tensor& tensor) const {
    if (tensor.here)
      refuse(name, "be on device " + std::to_string(device), std::to_string(tensor.device));
    const pybind11::gil_scoped_acquire gil;
    refuse(name, "have ." + std::string(pybind11::str(torch_names.is_here)), "a tensor without");
  }
};

}  // namespace ncg

// Takes a torch.Tensor or None; keeps the contiguous copy of a strided tensor until the call ends.
template <>
struct pybind11::detail::type_caster<ncg::Tensor> {
  PYBIND11_TYPE_CASTER(ncg::Tensor, const_name("torch.Tensor | None"));

  bool load(handle source, bool) {
    const ncg::TorchNames& names = ncg::torch_names;
    value = {};
    if (source.is_none()) return true;
    kept_ = reinterpret_borrow<object>(source);
    value.copied = !call(names.is_contiguous).cast<bool>();
    if (value.copied) kept_ = call(names.contiguous);
    value.data = PyLong_AsVoidPtr(call(names.data_ptr).ptr());
    value.dtype = get(names.dtype).ptr();
    value.here = get(names.is_here).ptr() == Py_True;
    value.device = PyLong_AsLongLong(call(names.get_device).ptr());
    const object shape = get(names.shape);
    if (!PyTuple_Check(shape.ptr())) return false;
    value.n_axes = static_cast<int>(PyTuple_GET_SIZE(shape.ptr()));
    value.count = 1;
    for (int axis = 0; axis < value.n_axes; ++axis) {
      const int64_t size = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), axis));
      value.count = ncg::product({value.count, size});
      if (axis < 5) value.shape[axis] = size;
    }
    return true;
  }

 private:
  static object checked(PyObject* found) {
    if (found == nullptr) throw error_already_set();
    return reinterpret_steal<object>(found);
  }
  object call(PyObject* method) const {
    return checked(PyObject_CallMethodNoArgs(kept_.ptr(), method));
  }
  object get(PyObject* attribute) const {
    return checked(PyObject_GetAttr(kept_.ptr(), attribute));
  }

  object kept_;
};
