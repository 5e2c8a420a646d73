// Tensors of torch as arguments, and what the kernels trust of them: dtype, number of elements,
// contiguity, sizes. Whether arguments make sense is checked in ncg_fast/ops.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace ncg {

// What the bindings ask torch for; filled when the module is imported.
struct TorchNames {
  PyObject *float32, *float64, *int8, *int16, *int32, *int64, *uint8, *bool8;
  PyObject *data_ptr, *dtype, *shape, *is_contiguous, *contiguous, *get_device, *is_here;

  bool many_devices;  // that the kernels reach

  // memory: the attribute of a tensor that tells whether the module's kernels reach it.
  void load(const char* memory, bool on_many_devices) {
    many_devices = on_many_devices;
    const pybind11::module_ torch = pybind11::module_::import("torch");
    const auto get = [&torch](const char* name) {
      return torch.attr(name).cast<pybind11::object>().release().ptr();
    };
    float32 = get("float32");
    float64 = get("float64");
    int8 = get("int8");
    int16 = get("int16");
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
inline PyObject* dtype_of(const int16_t*) { return torch_names.int16; }
inline PyObject* dtype_of(const int32_t*) { return torch_names.int32; }
inline PyObject* dtype_of(const int64_t*) { return torch_names.int64; }
inline PyObject* dtype_of(const uint64_t*) { return torch_names.int64; }  // packed states
inline PyObject* dtype_of(const uint8_t*) { return torch_names.uint8; }
inline PyObject* dtype_of(const bool*) { return torch_names.bool8; }

// a * b * ..., or the largest number, which no tensor's count is.
inline int64_t product(std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors)
    if (__builtin_mul_overflow(result, factor, &result)) return INT64_MAX;
  return result;
}

// A tensor, or None: then data and dtype are null and count is 0. It moves, but makes no copies,
// which would need the GIL.
class Tensor {
 public:
  static constexpr int kMostAxes = 5;

  void* data = nullptr;
  int64_t count = 0;
  int64_t device = -1;        // its number, where there are many
  bool here = false;          // whether the module's kernels reach its memory
  PyObject* dtype = nullptr;  // one of torch's, which live for ever
  int n_axes = 0;
  int64_t shape[kMostAxes] = {};  // the first axes
  bool copied =
      false;  // data is a contiguous copy of a strided tensor: it may be read, not written

  Tensor() = default;
  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  explicit operator bool() const { return dtype != nullptr; }

  // Of a torch.Tensor or None. False where it is neither.
  bool load(pybind11::handle source) {
    const TorchNames& names = torch_names;
    if (source.is_none()) return true;
    kept_ = pybind11::reinterpret_borrow<pybind11::object>(source);
    copied = call(names.is_contiguous).ptr() != Py_True;
    if (copied) kept_ = call(names.contiguous);
    data = PyLong_AsVoidPtr(call(names.data_ptr).ptr());
    dtype = get(names.dtype).ptr();
    here = get(names.is_here).ptr() == Py_True;
    if (names.many_devices) device = PyLong_AsLongLong(call(names.get_device).ptr());
    const pybind11::object sizes = get(names.shape);
    if (!PyTuple_Check(sizes.ptr())) return false;
    n_axes = static_cast<int>(PyTuple_GET_SIZE(sizes.ptr()));
    count = 1;
    for (int axis = 0; axis < n_axes; ++axis) {
      const int64_t size = PyLong_AsLongLong(PyTuple_GET_ITEM(sizes.ptr(), axis));
      count = product({count, size});
      if (axis < kMostAxes) shape[axis] = size;
    }
    return true;
  }

 private:
  static pybind11::object checked(PyObject* found) {
    if (found == nullptr) throw pybind11::error_already_set();
    return pybind11::reinterpret_steal<pybind11::object>(found);
  }
  pybind11::object call(PyObject* method) const {
    return checked(PyObject_CallMethodNoArgs(kept_.ptr(), method));
  }
  pybind11::object get(PyObject* attribute) const {
    return checked(PyObject_GetAttr(kept_.ptr(), attribute));
  }

  pybind11::object kept_;  // whose memory it is
};

// An argument with its name in messages.
struct Named {
  const char* name;
  const Tensor& tensor;
};

constexpr int64_t kMaxUnits = int64_t{1} << 23;  // 0/1 times digits: sums fit int32
constexpr int64_t kMaxChains = int64_t{1} << 31;
constexpr int64_t kMaxInt = INT32_MAX;

// Whether a tensor is read, or written, too.
enum class Access { kRead, kWrite };

// The checks of one call. They need no GIL.
class Call {
 public:
  // checked: the public op that checks, where it has another name.
  explicit Call(const char* op, const char* checked = nullptr)
      : op(op), checked_(checked != nullptr ? checked : op) {}

  const char* const op;

  [[noreturn]] void refuse(const char* name, const std::string& rule,
                           const std::string& actual) const {
    throw pybind11::value_error(std::string(op) + ": " + name + " must " + rule + ", got " +
                                actual + ". Call ncg_fast.ops." + checked_ + ", which checks.");
  }

  int64_t integer(const char* name, int64_t value, int64_t low, int64_t high) const {
    if (value < low || value > high)
      refuse(name, "be in [" + std::to_string(low) + ", " + std::to_string(high) + "]",
             std::to_string(value));
    return value;
  }

  // Length of an axis of a tensor that must have n_axes of them.
  int64_t size(Named t, int axis, int n_axes, int64_t most = kMaxUnits) const {
    if (t.tensor.n_axes != n_axes)
      refuse(t.name, "have " + std::to_string(n_axes) + " axes", std::to_string(t.tensor.n_axes));
    return integer(t.name, t.tensor.shape[axis], 0, most);
  }
  int64_t units(Named bias) const { return integer(bias.name, bias.tensor.count, 0, kMaxUnits); }

  template <class T>
  const T* read(Named t, int64_t count) const {
    hold(t, dtype_of(static_cast<T*>(nullptr)), count);
    return static_cast<const T*>(t.tensor.data);
  }
  template <class T>
  T* write(Named t, int64_t count) const {
    hold(t, dtype_of(static_cast<T*>(nullptr)), count);
    if (t.tensor.copied) refuse(t.name, "be contiguous", "a strided tensor");
    return static_cast<T*>(t.tensor.data);
  }
  template <class T>
  T* memory(Named t, int64_t count, Access access) const {
    if (access == Access::kWrite) return write<T>(t, count);
    read<T>(t, count);
    return static_cast<T*>(t.tensor.data);
  }
  // Null where the tensor is None.
  template <class T>
  const T* read_given(Named t, int64_t count) const {
    return t.tensor ? read<T>(t, count) : nullptr;
  }
  template <class T>
  T* write_given(Named t, int64_t count) const {
    return t.tensor ? write<T>(t, count) : nullptr;
  }

 private:
  static constexpr int64_t kNoDevice = -2;

  void hold(Named t, PyObject* dtype, int64_t count) const {
    const Tensor& tensor = t.tensor;
    if (tensor && device_ == kNoDevice) device_ = tensor.device;
    if (tensor && !(tensor.here && tensor.device == device_)) refuse_device(t);
    const bool there = tensor.data != nullptr || count == 0;
    if (tensor.dtype == dtype && tensor.count == count && there) return;
    const pybind11::gil_scoped_acquire gil;
    const auto text = [](PyObject* kind) { return " of " + std::string(pybind11::str(kind)); };
    std::string actual = "None";
    if (tensor) actual = std::to_string(tensor.count) + text(tensor.dtype);
    if (!there) actual += " without memory";
    refuse(t.name, "hold " + std::to_string(count) + " elements" + text(dtype), actual);
  }

  [[noreturn]] void refuse_device(Named t) const {
    if (t.tensor.here)
      refuse(t.name, "be on device " + std::to_string(device_), std::to_string(t.tensor.device));
    const pybind11::gil_scoped_acquire gil;
    refuse(t.name, "have ." + std::string(pybind11::str(torch_names.is_here)), "a tensor without");
  }

  const char* checked_;
  mutable int64_t device_ = kNoDevice;  // of the tensors held so far: one for all
};

}  // namespace ncg

template <>
struct pybind11::detail::type_caster<ncg::Tensor> {
  PYBIND11_TYPE_CASTER(ncg::Tensor, const_name("torch.Tensor | None"));

  bool load(handle source, bool) { return value.load(source); }
};
