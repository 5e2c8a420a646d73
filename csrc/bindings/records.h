// The records of ncg_fast/backends/records.py as arguments, read by the names of their attributes.
#pragma once
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/tensor.h"

namespace ncg::records {

// each(read) is read(name, member, name, member, ...).
struct Record {};

struct Layer : Record {
  Tensor digits, bias;
  int64_t weight_exponent;

  template <class Read>
  bool each(Read read) {
    return read("digits", digits, "bias", bias, "weight_exponent", weight_exponent);
  }
};

struct Model : Record {
  Tensor to_hidden, to_visible, visible_bias, hidden_bias;
  int64_t weight_exponent;

  template <class Read>
  bool each(Read read) {
    return read("to_hidden", to_hidden, "to_visible", to_visible, "visible_bias", visible_bias,
                "hidden_bias", hidden_bias, "weight_exponent", weight_exponent);
  }
};

struct Draw : Record {
  int64_t seed, chain_offset, step;
  Tensor beta;
  int64_t unit_offset;

  template <class Read>
  bool each(Read read) {
    return read("seed", seed, "chain_offset", chain_offset, "step", step, "beta", beta,
                "unit_offset", unit_offset);
  }
};

struct Phases : Record {
  Tensor hidden_data, visible_data, hidden_model, visible_model;

  template <class Read>
  bool each(Read read) {
    return read("hidden_data", hidden_data, "visible_data", visible_data, "hidden_model",
                hidden_model, "visible_model", visible_model);
  }
};

struct PhaseSums : Record {
  Tensor products, visible, hidden;

  template <class Read>
  bool each(Read read) {
    return read("products", products, "visible", visible, "hidden", hidden);
  }
};

struct Batch : Record {
  Tensor visible_data, chains;
  int64_t n_rows, n_chains, n_steps;

  template <class Read>
  bool each(Read read) {
    return read("visible_data", visible_data, "chains", chains, "n_rows", n_rows, "n_chains",
                n_chains, "n_steps", n_steps);
  }
};

struct Gradients : Record {
  Tensor by_weight, by_strength, by_visible, by_hidden;

  template <class Read>
  bool each(Read read) {
    return read("by_weight", by_weight, "by_strength", by_strength, "by_visible", by_visible,
                "by_hidden", by_hidden);
  }
};

struct Rates : Record {
  float lr, lr_strength, momentum, weight_decay;

  template <class Read>
  bool each(Read read) {
    return read("lr", lr, "lr_strength", lr_strength, "momentum", momentum, "weight_decay",
                weight_decay);
  }
};

struct Offsets : Record {
  Tensor visible, hidden;

  template <class Read>
  bool each(Read read) {
    return read("visible", visible, "hidden", hidden);
  }
};

struct Parameters : Record {
  Tensor weight, connection_strength, mask, visible_bias, hidden_bias, to_hidden, to_visible,
      weight_velocity, visible_velocity, hidden_velocity;

  template <class Read>
  bool each(Read read) {
    return read("weight", weight, "connection_strength", connection_strength, "mask", mask,
                "visible_bias", visible_bias, "hidden_bias", hidden_bias, "to_hidden", to_hidden,
                "to_visible", to_visible, "weight_velocity", weight_velocity, "visible_velocity",
                visible_velocity, "hidden_velocity", hidden_velocity);
  }
};

// Reads attributes of one object; `names` are interned at the first object of a kind.
class Reader {
 public:
  Reader(pybind11::handle source, std::vector<PyObject*>& names) : source_(source), names_(names) {}

  // False where an attribute has another type.
  template <class Member, class... Rest>
  bool operator()(const char* name, Member& member, Rest&... rest) {
    if (at_ == names_.size()) names_.push_back(PyUnicode_InternFromString(name));
    PyObject* attribute = PyObject_GetAttr(source_.ptr(), names_[at_++]);
    if (attribute == nullptr) throw pybind11::error_already_set();
    const auto found = pybind11::reinterpret_steal<pybind11::object>(attribute);
    if (!load(found, member)) return false;
    if constexpr (sizeof...(rest) > 0) return (*this)(rest...);
    return true;
  }

 private:
  static bool load(pybind11::handle from, Tensor& to) { return to.load(from); }
  template <class Number>
  static bool load(pybind11::handle from, Number& to) {
    pybind11::detail::make_caster<Number> caster;
    const bool loaded = caster.load(from, true);
    if (loaded) to = pybind11::detail::cast_op<Number>(caster);
    return loaded;
  }

  pybind11::handle source_;
  std::vector<PyObject*>& names_;
  size_t at_ = 0;
};

}  // namespace ncg::records

template <class Record>
struct pybind11::detail::type_caster<
    Record, std::enable_if_t<std::is_base_of_v<ncg::records::Record, Record>>> {
  PYBIND11_TYPE_CASTER(Record, const_name("a record of ncg_fast.backends.records"));

  bool load(handle source, bool) {
    static std::vector<PyObject*> names;
    return value.each(ncg::records::Reader(source, names));
  }
};
