// oneDNN's C interface; of it Moongrad calls the single-precision products and the eltwise primitives.
#include <dnnl.h>
