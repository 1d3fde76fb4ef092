#include "mg_thread.h"

_Thread_local mg_thread_state mg_thread_state_storage;
