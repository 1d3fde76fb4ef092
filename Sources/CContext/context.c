#include "mg_context.h"

_Thread_local void *mg_context_in_force;
