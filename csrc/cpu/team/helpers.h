// The threads that help a calling thread with its ops. Nobody waits for one that has not come: the
// work of an op is claimed piece by piece, phase after phase, and who comes late finds less.
#pragma once
#include <cstdint>

namespace ncg {

struct Helpers;  // of one calling thread

// One who works on an op: its caller, number 0, or a helper.
struct Seat {
  Helpers* helpers;  // null: the caller works alone, and no signal is looked at
  int id, n_workers;
  uint32_t op;             // its number
  mutable uint32_t phase;  // the next one that this worker comes to
  mutable int64_t turn;    // of a helper: when it last let other threads have its core
};

using Work = void (*)(const void* body, const Seat&);

// work(body, seat) on the calling thread and on up to n_workers - 1 helpers, all of which go
// through the same phases. While it runs the caller calls poll now and then, where it is not null;
// what that throws ends the op on all of them.
void run_op(int n_workers, void (*poll)(), Work work, const void* body);

// Whether ops begin only when all of their helpers have come, so that tests see their work.
void await_helpers(bool whether);

// Part of 0 .. n-1 of a phase, 0 < n < 2^32, that nobody else works on; false: there is none left.
bool claim(const Seat&, uint32_t phase, int64_t n, int64_t* first, int64_t* last);
// `count` of the n are done.
void finish(const Seat&, int64_t count, int64_t n);
// Until all n of the phase are done. Helpers leave the op meanwhile, and are thrown out of it by an
// exception if it ends before they are back.
void await_end(const Seat&, uint32_t phase);
// Calls poll where it is time to; throws where the op has ended.
void look_up(const Seat&);
// From here on the op writes what it changes: poll is not called any more.
void commit(const Seat&);

}  // namespace ncg
