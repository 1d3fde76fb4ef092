// Images as files have them, by libpng and libjpeg. Both leave a function by a jump when something is wrong, which must pass over
// no frame of Swift's: so all that calls them is here, and what is wrong comes back as a sentence.
#ifndef MG_IMAGES_H
#define MG_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { MG_PNG, MG_JPEG } mg_format;

/// How many channels are wanted: as in the file, gray, red green blue, and these with opacity.
typedef enum { MG_UNCHANGED = 0, MG_GRAY = 1, MG_RGB = 3, MG_RGBA = 4 } mg_channels;

/// An image on its way in.
typedef struct mg_image mg_image;

/// What is known about it, and what was wrong: a sentence, and the byte of the file up to which was read.
typedef struct {
  int64_t width, height, channels;
  int64_t position;
  /// How many pixels are allowed, set by the caller: more are refused before anything is allocated for them.
  int64_t most_pixels;
  char problem[256];
} mg_image_facts;

/// Reads the head of an image; NULL where that failed. The bytes must stay until it is closed.
mg_image *_Nullable mg_image_open(
  mg_format format, const uint8_t *_Nonnull bytes, size_t count, mg_channels channels, mg_image_facts *_Nonnull facts);
/// Reads the image, row after row and pixel after pixel, into width · height · channels bytes; false where that failed.
bool mg_image_read(mg_image *_Nonnull image, uint8_t *_Nonnull pixels, mg_image_facts *_Nonnull facts);
void mg_image_close(mg_image *_Nonnull image);

/// The bytes of a file, to be freed by the caller; NULL where that failed. `quality` is that of JPEG, from 1 to 100.
uint8_t *_Nullable mg_image_write(
  mg_format format, const uint8_t *_Nonnull pixels, int quality, size_t *_Nonnull count, mg_image_facts *_Nonnull facts);

#endif
