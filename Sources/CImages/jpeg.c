// JPEG, by libjpeg, which is loaded when the first image is read or written.
#include "internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/// Every function that is called.
#define FUNCTIONS(X)                                                                                                 \
  X(std_error) X(CreateDecompress) X(destroy_decompress) X(mem_src) X(read_header) X(start_decompress)               \
  X(read_scanlines) X(finish_decompress) X(CreateCompress) X(destroy_compress) X(mem_dest) X(set_defaults)            \
  X(set_quality) X(start_compress) X(write_scanlines) X(finish_compress)

static struct {
#define MEMBER(name) typeof(&jpeg_##name) name;
  FUNCTIONS(MEMBER)
#undef MEMBER
  bool is_there;
} jpeg;

static void load(void) {
  void *library = dlopen("libjpeg.so.62", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  bool found = true;
#define FIND(name) found = (jpeg.name = dlsym(library, "jpeg_" #name)) != NULL && found;
  FUNCTIONS(FIND)
#undef FIND
  jpeg.is_there = found;
}

static bool is_loaded(mg_image_facts *facts) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (!jpeg.is_there) MG_FAIL(facts, "libjpeg, which reads and writes JPEG, is not installed");
  return jpeg.is_there;
}

/// The library's records, and where they lead when something is wrong.
typedef struct {
  struct jpeg_decompress_struct in;
  struct jpeg_compress_struct out;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  mg_source *source;
} codec;

static void leave(j_common_ptr common) {
  codec *c = common->client_data;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  snprintf(c->source->problem, sizeof c->source->problem, "%s", text);
  longjmp(c->source->exit, 1);
}

/// The library only warns of what is damaged or cut off, and makes up the rest of the image.
static void warn(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_JPEG_EOF: case JWRN_HIT_MARKER: case JWRN_HUFF_BAD_CODE: case JWRN_MUST_RESYNC: case JWRN_BOGUS_PROGRESSION: leave(common);
    default: break;
  }
}

static void ignore(j_common_ptr common) { (void)common; }

/// A small file may ask for as many passes over a large image as it likes.
enum { most_scans = 200 };

static void watch(j_common_ptr common) {
  codec *c = common->client_data;
  if (common->is_decompressor && ((j_decompress_ptr)common)->input_scan_number > most_scans) {
    snprintf(c->source->problem, sizeof c->source->problem, "the image goes over its pixels more than %d times", most_scans);
    longjmp(c->source->exit, 1);
  }
}

static void note_place(mg_image *image) {
  codec *c = image->codec;
  // At the end the library reads bytes of its own.
  const uint8_t *next = c && c->in.src ? c->in.src->next_input_byte : NULL;
  const uint8_t *first = image->source.bytes;
  image->source.position = next >= first && next <= first + image->source.count ? (size_t)(next - first) : image->source.count;
}

static codec *new_codec(mg_source *source) {
  codec *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->source = source;
  c->in.err = c->out.err = jpeg.std_error(&c->errors);
  c->errors.error_exit = leave;
  c->errors.emit_message = warn;
  c->errors.output_message = ignore;
  c->progress.progress_monitor = watch;
  c->in.client_data = c->out.client_data = c;
  return c;
}

bool mg_jpeg_open(mg_image *image, mg_channels channels, mg_image_facts *facts) {
  if (!is_loaded(facts)) return false;
  codec *c = image->codec = new_codec(&image->source);
  if (!c) return MG_FAIL(facts, "there is no memory to read it"), false;
  if (setjmp(image->source.exit)) return note_place(image), false;
  jpeg.CreateDecompress(&c->in, JPEG_LIB_VERSION, sizeof c->in);
  c->in.client_data = c;
  c->in.progress = &c->progress;
  jpeg.mem_src(&c->in, image->source.bytes, image->source.count);
  jpeg.read_header(&c->in, TRUE);
  note_place(image);
  if (c->in.num_components != 1 && c->in.num_components != 3)
    return MG_FAIL(facts, "the image has %d components, as for print; gray and colored ones are read", c->in.num_components), false;
  bool is_gray = channels == MG_GRAY || (channels == MG_UNCHANGED && c->in.num_components == 1);
  c->in.out_color_space = is_gray ? JCS_GRAYSCALE : channels == MG_RGBA ? JCS_EXT_RGBA : JCS_RGB;
  facts->width = c->in.image_width;
  facts->height = c->in.image_height;
  facts->channels = is_gray ? 1 : channels == MG_RGBA ? 4 : 3;
  return mg_are_few(facts);
}

bool mg_jpeg_read(mg_image *image, uint8_t *pixels, mg_image_facts *facts) {
  codec *c = image->codec;
  if (setjmp(image->source.exit)) return note_place(image), false;
  jpeg.start_decompress(&c->in);
  if (c->in.output_components != facts->channels || c->in.output_width != facts->width || c->in.output_height != facts->height)
    return MG_FAIL(facts, "libjpeg makes another image than it announced"), false;
  while (c->in.output_scanline < c->in.output_height) {
    JSAMPROW row = pixels + (size_t)c->in.output_scanline * (size_t)(facts->width * facts->channels);
    jpeg.read_scanlines(&c->in, &row, 1);
  }
  jpeg.finish_decompress(&c->in);
  return true;
}

void mg_jpeg_close(mg_image *image) {
  codec *c = image->codec;
  if (c) jpeg.destroy_decompress(&c->in);
  free(c);
}

uint8_t *mg_jpeg_write(const uint8_t *pixels, int quality, size_t *count, mg_image_facts *facts) {
  if (!is_loaded(facts)) return NULL;
  // On the heap, since what stands in registers is lost at a jump.
  struct target {
    mg_source source;
    unsigned char *bytes;
    unsigned long count;
    bool is_done;
  } *t = calloc(1, sizeof *t);
  codec *c = t ? new_codec(&t->source) : NULL;
  uint8_t *result = NULL;
  if (c) {
    if (!setjmp(t->source.exit)) {
      jpeg.CreateCompress(&c->out, JPEG_LIB_VERSION, sizeof c->out);
      c->out.client_data = c;
      jpeg.mem_dest(&c->out, &t->bytes, &t->count);
      c->out.image_width = (JDIMENSION)facts->width;
      c->out.image_height = (JDIMENSION)facts->height;
      c->out.input_components = (int)facts->channels;
      c->out.in_color_space = facts->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
      jpeg.set_defaults(&c->out);
      jpeg.set_quality(&c->out, quality, TRUE);
      jpeg.start_compress(&c->out, TRUE);
      while (c->out.next_scanline < c->out.image_height) {
        JSAMPROW row = (JSAMPROW)(pixels + (size_t)c->out.next_scanline * (size_t)(facts->width * facts->channels));
        jpeg.write_scanlines(&c->out, &row, 1);
      }
      jpeg.finish_compress(&c->out);
      t->is_done = true;
    }
    jpeg.destroy_compress(&c->out);
    if (t->is_done) {
      result = t->bytes;
      *count = t->count;
    } else {
      // The library tells where its memory is only at the end; what it had grown to is lost, as memory was then.
      MG_FAIL(facts, "%s", t->source.problem);
    }
  } else {
    MG_FAIL(facts, "there is no memory to write it");
  }
  free(c);
  free(t);
  return result;
}
