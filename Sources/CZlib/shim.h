// zlib, whose functions that begin a stream are macros, which Swift does not see.
#include <zlib.h>

static inline int mg_inflate_begin(z_streamp stream, int window_bits) { return inflateInit2(stream, window_bits); }
static inline int mg_deflate_begin(z_streamp stream, int level, int window_bits) {
  return deflateInit2(stream, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
}
