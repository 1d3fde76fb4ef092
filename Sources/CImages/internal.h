// What both formats share.
#ifndef MG_IMAGES_INTERNAL_H
#define MG_IMAGES_INTERNAL_H

#include "mg_images.h"

#include <setjmp.h>
#include <stdio.h>

/// One of these for each image: where to go when something is wrong, and what to say.
typedef struct {
  jmp_buf exit;
  const uint8_t *bytes;
  size_t count, position;
  char problem[256];
} mg_source;

struct mg_image {
  mg_format format;
  mg_source source;
  void *codec;
};

bool mg_png_open(mg_image *image, mg_channels channels, mg_image_facts *facts);
bool mg_png_read(mg_image *image, uint8_t *pixels, mg_image_facts *facts);
void mg_png_close(mg_image *image);
uint8_t *mg_png_write(const uint8_t *pixels, size_t *count, mg_image_facts *facts);

bool mg_jpeg_open(mg_image *image, mg_channels channels, mg_image_facts *facts);
bool mg_jpeg_read(mg_image *image, uint8_t *pixels, mg_image_facts *facts);
void mg_jpeg_close(mg_image *image);
uint8_t *mg_jpeg_write(const uint8_t *pixels, int quality, size_t *count, mg_image_facts *facts);

/// Whether there are as few pixels as are allowed; if not, says so.
bool mg_are_few(mg_image_facts *facts);

#define MG_FAIL(facts, ...) snprintf((facts)->problem, sizeof (facts)->problem, __VA_ARGS__)

#endif
