// oneDNN's C interface; of it Moongrad calls the single-precision products and the eltwise primitives. Debian's
// library runs on GNU OpenMP, whose number of threads is set beside our own pool's.
#include <dnnl.h>
void omp_set_num_threads(int);
