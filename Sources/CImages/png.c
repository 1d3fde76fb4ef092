// PNG, by libpng, which is loaded when the first image is read or written: a program that has none starts sooner.
#include "internal.h"

#include <dlfcn.h>
#include <png.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/// Every function that is called.
#define FUNCTIONS(X)                                                                                                       \
  X(create_read_struct) X(create_write_struct) X(create_info_struct) X(destroy_read_struct) X(destroy_write_struct)        \
  X(get_io_ptr) X(get_error_ptr) X(set_read_fn) X(set_write_fn) X(read_info) X(get_image_width) X(get_image_height)        \
  X(get_color_type) X(get_bit_depth) X(get_valid) X(set_palette_to_rgb) X(set_expand_gray_1_2_4_to_8) X(set_tRNS_to_alpha) \
  X(set_scale_16) X(set_strip_alpha) X(set_rgb_to_gray_fixed) X(set_gray_to_rgb) X(set_add_alpha) X(set_interlace_handling) \
  X(read_update_info) X(get_channels) X(get_rowbytes) X(read_rows) X(read_end) X(set_user_limits) X(set_IHDR) X(write_info)  \
  X(write_row) X(write_end)

static struct {
#define MEMBER(name) typeof(&png_##name) name;
  FUNCTIONS(MEMBER)
#undef MEMBER
  bool is_there;
} png;

static void load(void) {
  void *library = dlopen("libpng16.so.16", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  bool found = true;
#define FIND(name) found = (png.name = dlsym(library, "png_" #name)) != NULL && found;
  FUNCTIONS(FIND)
#undef FIND
  png.is_there = found;
}

static bool is_loaded(mg_image_facts *facts) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (!png.is_there) MG_FAIL(facts, "libpng, which reads and writes PNG, is not installed");
  return png.is_there;
}

typedef struct {
  png_structp png;
  png_infop info;
} codec;

static void leave(png_structp p, png_const_charp message) {
  mg_source *source = png.get_error_ptr(p);
  snprintf(source->problem, sizeof source->problem, "%s", message);
  longjmp(source->exit, 1);
}

static void ignore(png_structp p, png_const_charp message) { (void)p, (void)message; }

static void take(png_structp p, png_bytep target, size_t count) {
  mg_source *source = png.get_io_ptr(p);
  if (count > source->count - source->position) {
    source->position = source->count;
    leave(p, "the image is cut off here");
  }
  memcpy(target, source->bytes + source->position, count);
  source->position += count;
}

bool mg_png_open(mg_image *image, mg_channels channels, mg_image_facts *facts) {
  if (!is_loaded(facts)) return false;
  mg_source *source = &image->source;
  codec *c = image->codec = calloc(1, sizeof *c);
  if (!c) return MG_FAIL(facts, "there is no memory to read it"), false;
  if (setjmp(source->exit)) return false;
  c->png = png.create_read_struct(PNG_LIBPNG_VER_STRING, source, leave, ignore);
  if (c->png) c->info = png.create_info_struct(c->png);
  if (!c->info) return MG_FAIL(facts, "libpng cannot be used, or there is no memory"), false;
  png.set_read_fn(c->png, source, take);
  // The number of pixels is judged below.
  png.set_user_limits(c->png, 0x7fffffff, 0x7fffffff);
  png.read_info(c->png, c->info);
  facts->width = png.get_image_width(c->png, c->info);
  facts->height = png.get_image_height(c->png, c->info);
  if (!mg_are_few(facts)) return false;

  int type = png.get_color_type(c->png, c->info);
  bool is_colored = type & PNG_COLOR_MASK_COLOR;
  bool has_alpha = type & PNG_COLOR_MASK_ALPHA;
  if (type == PNG_COLOR_TYPE_PALETTE) png.set_palette_to_rgb(c->png);
  if (type == PNG_COLOR_TYPE_GRAY && png.get_bit_depth(c->png, c->info) < 8) png.set_expand_gray_1_2_4_to_8(c->png);
  if (png.get_valid(c->png, c->info, PNG_INFO_tRNS)) {
    png.set_tRNS_to_alpha(c->png);
    has_alpha = true;
  }
  if (png.get_bit_depth(c->png, c->info) == 16) png.set_scale_16(c->png);
  if (channels == MG_GRAY || channels == MG_RGB) {
    if (has_alpha) png.set_strip_alpha(c->png);
  } else if (channels == MG_RGBA && !has_alpha) {
    png.set_add_alpha(c->png, 255, PNG_FILLER_AFTER);
  }
  // The shares of red and green in brightness, as torchvision and the television's norm have them.
  if (channels == MG_GRAY && is_colored) png.set_rgb_to_gray_fixed(c->png, 1, 29890, 58700);
  if ((channels == MG_RGB || channels == MG_RGBA) && !is_colored) png.set_gray_to_rgb(c->png);
  png.set_interlace_handling(c->png);
  png.read_update_info(c->png, c->info);
  facts->channels = png.get_channels(c->png, c->info);
  if (png.get_rowbytes(c->png, c->info) != (size_t)(facts->width * facts->channels))
    return MG_FAIL(facts, "libpng does not make bytes of its pixels"), false;
  return true;
}

bool mg_png_read(mg_image *image, uint8_t *pixels, mg_image_facts *facts) {
  codec *c = image->codec;
  size_t row_bytes = (size_t)(facts->width * facts->channels);
  if (setjmp(image->source.exit)) return false;
  // Of an interlaced image each pass goes over the rows that there are.
  int passes = png.set_interlace_handling(c->png);
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < facts->height; y++) {
      png_bytep row = pixels + (size_t)y * row_bytes;
      png.read_rows(c->png, &row, NULL, 1);
    }
  png.read_end(c->png, NULL);
  return true;
}

void mg_png_close(mg_image *image) {
  codec *c = image->codec;
  if (c && c->png) png.destroy_read_struct(&c->png, &c->info, NULL);
  free(c);
}

/// A file that grows.
typedef struct {
  mg_source source;
  uint8_t *bytes;
  size_t count, capacity;
} target;

static void put(png_structp p, png_bytep bytes, size_t count) {
  target *t = png.get_io_ptr(p);
  if (count > t->capacity - t->count) {
    size_t capacity = 2 * t->capacity + count + 4096;
    uint8_t *larger = realloc(t->bytes, capacity);
    if (!larger) leave(p, "there is no memory to write it");
    t->bytes = larger;
    t->capacity = capacity;
  }
  memcpy(t->bytes + t->count, bytes, count);
  t->count += count;
}

static void flush(png_structp p) { (void)p; }

uint8_t *mg_png_write(const uint8_t *pixels, size_t *count, mg_image_facts *facts) {
  static const int types[] = { 0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA };
  if (!is_loaded(facts)) return NULL;
  // On the heap, since what stands in registers is lost at a jump.
  target *t = calloc(1, sizeof *t);
  codec *c = calloc(1, sizeof *c);
  uint8_t *result = NULL;
  if (t && c) {
    if (!setjmp(t->source.exit)) {
      c->png = png.create_write_struct(PNG_LIBPNG_VER_STRING, &t->source, leave, ignore);
      if (c->png) c->info = png.create_info_struct(c->png);
      if (c->info) {
        png.set_write_fn(c->png, t, put, flush);
        png.set_IHDR(c->png, c->info, (png_uint_32)facts->width, (png_uint_32)facts->height, 8, types[facts->channels],
          PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png.write_info(c->png, c->info);
        for (int64_t y = 0; y < facts->height; y++) png.write_row(c->png, pixels + y * facts->width * facts->channels);
        png.write_end(c->png, c->info);
        result = t->bytes;
        *count = t->count;
      }
    }
    if (!result) MG_FAIL(facts, "%s", t->source.problem[0] ? t->source.problem : "there is no memory to write it");
    if (c->png) png.destroy_write_struct(&c->png, &c->info);
    if (!result) free(t->bytes);
  } else {
    MG_FAIL(facts, "there is no memory to write it");
  }
  free(t);
  free(c);
  return result;
}
