// The formats behind one door.
#include "internal.h"

#include <stdlib.h>

bool mg_are_few(mg_image_facts *facts) {
  if (facts->height > 0 && facts->width > 0 && facts->width <= facts->most_pixels / facts->height) return true;
  MG_FAIL(facts, "an image of %lld × %lld pixels; up to %lld pixels are read", (long long)facts->width, (long long)facts->height,
    (long long)facts->most_pixels);
  return false;
}

static void tell(mg_image *image, mg_image_facts *facts) {
  facts->position = (int64_t)image->source.position;
  if (!facts->problem[0]) MG_FAIL(facts, "%s", image->source.problem);
}

mg_image *mg_image_open(mg_format format, const uint8_t *bytes, size_t count, mg_channels channels, mg_image_facts *facts) {
  facts->problem[0] = 0;
  mg_image *image = calloc(1, sizeof *image);
  if (!image) {
    MG_FAIL(facts, "there is no memory to read it");
    return NULL;
  }
  image->format = format;
  image->source.bytes = bytes;
  image->source.count = count;
  if (format == MG_PNG ? mg_png_open(image, channels, facts) : mg_jpeg_open(image, channels, facts)) return image;
  tell(image, facts);
  mg_image_close(image);
  return NULL;
}

bool mg_image_read(mg_image *image, uint8_t *pixels, mg_image_facts *facts) {
  if (image->format == MG_PNG ? mg_png_read(image, pixels, facts) : mg_jpeg_read(image, pixels, facts)) return true;
  tell(image, facts);
  return false;
}

void mg_image_close(mg_image *image) {
  if (image->format == MG_PNG) mg_png_close(image);
  else mg_jpeg_close(image);
  free(image);
}

uint8_t *mg_image_write(mg_format format, const uint8_t *pixels, int quality, size_t *count, mg_image_facts *facts) {
  facts->problem[0] = 0;
  return format == MG_PNG ? mg_png_write(pixels, count, facts) : mg_jpeg_write(pixels, quality, count, facts);
}
