#include "mg_thread.h"

_Thread_local mg_thread_state mg_thread_state_storage;

mg_locator mg_locate;

void mg_locate_by(mg_locator locate) { __atomic_store_n(&mg_locate, locate, __ATOMIC_RELAXED); }
