/* fomoad: camera bytes to the model's input, and the model's output to a verdict, a score and boxes.
 *
 * C99. No malloc, no library, no floating point where pixels or cells are many. Every number is the one that
 * `fomoad predict` gives for the same pixels: same resize, same rounding, same threshold.
 *
 * One image after another:
 *
 *     static fomoad_workspace workspace;
 *     fomoad_result result;
 *     int error = fomoad_prepare(&image, &workspace, input_tensor);   // then run the model
 *     fomoad_read(output_tensor, &image, &workspace, &result);
 *     if (result.anomalous) { ... result.boxes ... }
 */
#ifndef FOMOAD_H
#define FOMOAD_H

#include <stdint.h>

#include "fomoad_config.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FOMOAD_INPUT_BYTES (FOMOAD_INPUT_WIDTH * FOMOAD_INPUT_HEIGHT * FOMOAD_INPUT_CHANNELS)
#define FOMOAD_CELLS (FOMOAD_ROWS * FOMOAD_COLUMNS)
/* More groups of cells than this cannot lie apart. */
#define FOMOAD_MAX_BOXES (((FOMOAD_ROWS + 1) / 2) * ((FOMOAD_COLUMNS + 1) / 2))

/* The camera's longer side at most; define another before including this to save or to allow memory. */
#ifndef FOMOAD_MAX_CAMERA_SIDE
#define FOMOAD_MAX_CAMERA_SIDE 640
#endif

/* How pixels lie in memory, row by row from the top left. RGB565: 16 bits, red highest, in the byte order given. */
typedef enum {
    FOMOAD_RGB888 = 0,
    FOMOAD_RGB565_LITTLE_ENDIAN = 1,
    FOMOAD_RGB565_BIG_ENDIAN = 2,
    FOMOAD_GREY = 3
} fomoad_format;

typedef struct {
    const uint8_t *pixels;
    uint32_t width, height;
    uint32_t stride; /* bytes from a row to the next */
    fomoad_format format;
} fomoad_image;

/* What fomoad_prepare returns. */
enum {
    FOMOAD_OK = 0,
    FOMOAD_NO_IMAGE = 1,  /* no pixels, a side of 0, a stride shorter than a row, or an unknown format */
    FOMOAD_TOO_LARGE = 2, /* a side is longer than FOMOAD_MAX_CAMERA_SIDE */
    FOMOAD_TOO_SMALL = 3  /* for the resize mode crop: smaller than the model's input */
};

/* Pixels of the camera's image, right and bottom excluded. */
typedef struct {
    int32_t left, top, right, bottom;
    int8_t score; /* the highest of its cells, as the model puts it out; see fomoad_score */
} fomoad_box;

typedef struct {
    int8_t score; /* the highest cell, as the model puts it out; see fomoad_score */
    uint8_t anomalous;
    uint16_t box_count;
    fomoad_box boxes[FOMOAD_MAX_BOXES]; /* round cells that touch, in reading order */
} fomoad_result;

/* Weights of the resize along a row: at most so many in all. */
#define FOMOAD_WEIGHTS (2 * FOMOAD_MAX_CAMERA_SIDE + 3 * FOMOAD_INPUT_WIDTH + 3)

/* Memory that is used while a function runs and may be shared with anything else in between. */
typedef struct {
    int32_t weights[FOMOAD_WEIGHTS];
    uint16_t first[FOMOAD_INPUT_WIDTH];  /* first camera pixel of an output column */
    uint16_t count[FOMOAD_INPUT_WIDTH];  /* camera pixels of an output column */
    uint16_t offset[FOMOAD_INPUT_WIDTH]; /* its first weight */
    int32_t row_weights[2 * FOMOAD_MAX_CAMERA_SIDE + 3];
    int32_t sums[FOMOAD_INPUT_WIDTH * FOMOAD_INPUT_CHANNELS];
    uint16_t queue[FOMOAD_CELLS];
    uint8_t flagged[FOMOAD_CELLS];
} fomoad_workspace;

/* Fill the model's int8 input. Returns FOMOAD_OK or why it cannot; `input` is then not to be used. */
int fomoad_prepare(const fomoad_image *image, fomoad_workspace *workspace, int8_t input[FOMOAD_INPUT_BYTES]);

/* Read the model's int8 output. `image` is the one that was prepared: its size places the boxes. */
void fomoad_read(const int8_t output[FOMOAD_CELLS], const fomoad_image *image, fomoad_workspace *workspace,
                 fomoad_result *result);

/* The score that `fomoad predict` prints, of a byte of the model's output. */
float fomoad_score(int8_t stored);

/* FOMOAD_VOTE_NEEDED of the last FOMOAD_VOTE_IMAGES images must be anomalous. Begin with {0}. */
typedef struct {
    uint32_t history;
} fomoad_vote;

/* Add an image's verdict; returns 1 where the vote is an alarm. */
int fomoad_vote_add(fomoad_vote *vote, int anomalous);

/* How many images' scores lay between the edges that `fomoad monitor --counter-edges` prints; the last counter is of
 * flagged images. Begin with {0} and never clear; every hour or so print a line {"counters": [...]} for
 * `fomoad monitor --counters`. */
typedef struct {
    uint32_t counts[FOMOAD_COUNTER_EDGES + 2];
} fomoad_counters;

void fomoad_count(fomoad_counters *counters, const fomoad_result *result);

#ifdef __cplusplus
}
#endif

#endif
