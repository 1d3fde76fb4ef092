// oneDNN's C interface; of it Moongrad calls products and convolutions. Debian's library runs on GNU OpenMP, which is told to
// use one thread: our pool has the others.
#include <dnnl.h>
void omp_set_num_threads(int);
