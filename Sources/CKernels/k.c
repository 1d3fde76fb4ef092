#include "mg_kernels.h"
