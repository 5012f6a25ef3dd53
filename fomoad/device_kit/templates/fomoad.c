/* See fomoad.h. The resize is Pillow's bilinear one (ImagingResample, 8 bits a channel), step by step. */
#include "fomoad.h"

#include <stddef.h>

#define PRECISION_BITS 22
#define ROUNDED_HALF ((int32_t)1 << (PRECISION_BITS - 1))

/* The part `source` of the camera's image becomes the part `target` of the input; black fills the rest. */
typedef struct {
    double source[4]; /* left, top, right, bottom */
    int32_t target[4];
} fit;

/* To the nearest whole number, halves to the even one, for numbers from 0 on. */
static int32_t nearest(double value) {
    int32_t whole = (int32_t)value;
    double rest = value - (double)whole;
    if (rest > 0.5 || (rest == 0.5 && (whole & 1))) whole++;
    return whole;
}

static double smaller(double a, double b) { return a < b ? a : b; }

static double larger(double a, double b) { return a > b ? a : b; }

static fit whole_input(void) {
    fit found = {{0, 0, 0, 0}, {0, 0, FOMOAD_INPUT_WIDTH, FOMOAD_INPUT_HEIGHT}};
    return found;
}

static fit fit_of(const fomoad_image *image) {
    fit found = whole_input();
#if FOMOAD_RESIZE == FOMOAD_SQUASH
    found.source[2] = (double)image->width;
    found.source[3] = (double)image->height;
#elif FOMOAD_RESIZE == FOMOAD_FIT_LONG
    const double width = (double)image->width, height = (double)image->height;
    const double scale = smaller(FOMOAD_INPUT_WIDTH / width, FOMOAD_INPUT_HEIGHT / height);
    int32_t across = nearest(width * scale), down = nearest(height * scale);
    if (across < 1) across = 1;
    if (down < 1) down = 1;
    found.source[2] = width;
    found.source[3] = height;
    found.target[0] = (FOMOAD_INPUT_WIDTH - across) / 2;
    found.target[1] = (FOMOAD_INPUT_HEIGHT - down) / 2;
    found.target[2] = found.target[0] + across;
    found.target[3] = found.target[1] + down;
#elif FOMOAD_RESIZE == FOMOAD_CROP
    found.source[0] = (double)((image->width - FOMOAD_INPUT_WIDTH) / 2);
    found.source[1] = (double)((image->height - FOMOAD_INPUT_HEIGHT) / 2);
    found.source[2] = found.source[0] + FOMOAD_INPUT_WIDTH;
    found.source[3] = found.source[1] + FOMOAD_INPUT_HEIGHT;
#else
    const double width = (double)image->width, height = (double)image->height;
    const double scale = larger(FOMOAD_INPUT_WIDTH / width, FOMOAD_INPUT_HEIGHT / height);
    const double across = smaller(width, FOMOAD_INPUT_WIDTH / scale);
    const double down = smaller(height, FOMOAD_INPUT_HEIGHT / scale);
    found.source[0] = (width - across) / 2;
    found.source[1] = (height - down) / 2;
    found.source[2] = found.source[0] + across;
    found.source[3] = found.source[1] + down;
#endif
    return found;
}

/* Weights of the camera pixels that make one pixel of the input; returns their number. */
static int32_t weigh(uint32_t size, float from, float to, int32_t out_size, int32_t out, int32_t *weights,
                     int32_t *first) {
    const double scale = (double)(to - from) / out_size;
    const double support = scale < 1.0 ? 1.0 : scale;
    const double centre = from + (out + 0.5) * scale;
    int32_t start = (int32_t)(centre - support + 0.5), stop = (int32_t)(centre + support + 0.5), i;
    double sum = 0.0;
    if (start < 0) start = 0;
    if (stop > (int32_t)size) stop = (int32_t)size;
    for (i = start; i < stop; i++) {
        double away = (i - centre + 0.5) * (1.0 / support);
        if (away < 0) away = -away;
        sum += away < 1.0 ? 1.0 - away : 0.0;
    }
    for (i = start; i < stop; i++) {
        double away = (i - centre + 0.5) * (1.0 / support), weight;
        if (away < 0) away = -away;
        weight = away < 1.0 ? 1.0 - away : 0.0;
        if (sum != 0.0) weight /= sum;
        weights[i - start] = (int32_t)(0.5 + weight * (1 << PRECISION_BITS));
    }
    *first = start;
    return stop - start;
}

static uint8_t clipped(int32_t sum) {
    const int32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void read_pixel(const fomoad_image *image, uint32_t x, uint32_t y, int32_t channels[FOMOAD_INPUT_CHANNELS]) {
    const uint8_t *row = image->pixels + (size_t)y * image->stride;
    int32_t red, green, blue;
    if (image->format == FOMOAD_GREY) {
        red = green = blue = row[x];
    } else if (image->format == FOMOAD_RGB888) {
        red = row[3 * (size_t)x];
        green = row[3 * (size_t)x + 1];
        blue = row[3 * (size_t)x + 2];
    } else {
        const uint8_t low = row[2 * (size_t)x + (image->format == FOMOAD_RGB565_BIG_ENDIAN)];
        const uint8_t high = row[2 * (size_t)x + (image->format == FOMOAD_RGB565_LITTLE_ENDIAN)];
        red = high >> 3;
        green = ((high & 7) << 3) | (low >> 5);
        blue = low & 31;
        red = (red << 3) | (red >> 2);
        green = (green << 2) | (green >> 4);
        blue = (blue << 3) | (blue >> 2);
    }
#if FOMOAD_INPUT_CHANNELS == 1
    channels[0] = image->format == FOMOAD_GREY ? red : (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
#else
    channels[0] = red;
    channels[1] = green;
    channels[2] = blue;
#endif
}

static int32_t bytes_of_pixel(fomoad_format format) {
    switch (format) {
        case FOMOAD_RGB888: return 3;
        case FOMOAD_RGB565_LITTLE_ENDIAN:
        case FOMOAD_RGB565_BIG_ENDIAN: return 2;
        case FOMOAD_GREY: return 1;
    }
    return 0;
}

static int check(const fomoad_image *image) {
    const int32_t bytes = bytes_of_pixel(image->format);
    if (!image->pixels || !image->width || !image->height || !bytes) return FOMOAD_NO_IMAGE;
    if (image->width > FOMOAD_MAX_CAMERA_SIDE || image->height > FOMOAD_MAX_CAMERA_SIDE) return FOMOAD_TOO_LARGE;
    if (image->stride < image->width * (uint32_t)bytes) return FOMOAD_NO_IMAGE;
#if FOMOAD_RESIZE == FOMOAD_CROP
    if (image->width < FOMOAD_INPUT_WIDTH || image->height < FOMOAD_INPUT_HEIGHT) return FOMOAD_TOO_SMALL;
#endif
    return FOMOAD_OK;
}

/* Add one camera row, resized to the input's width, to the sums of an input row. */
static void add_row(const fomoad_image *image, uint32_t y, int32_t columns, int32_t weight, fomoad_workspace *work) {
    int32_t column, i, c;
    for (column = 0; column < columns; column++) {
        const int32_t *weights = work->weights + work->offset[column];
        int32_t sums[FOMOAD_INPUT_CHANNELS], pixel[FOMOAD_INPUT_CHANNELS];
        for (c = 0; c < FOMOAD_INPUT_CHANNELS; c++) sums[c] = ROUNDED_HALF;
        for (i = 0; i < work->count[column]; i++) {
            read_pixel(image, (uint32_t)(work->first[column] + i), y, pixel);
            for (c = 0; c < FOMOAD_INPUT_CHANNELS; c++) sums[c] += pixel[c] * weights[i];
        }
        for (c = 0; c < FOMOAD_INPUT_CHANNELS; c++)
            work->sums[column * FOMOAD_INPUT_CHANNELS + c] += clipped(sums[c]) * weight;
    }
}

static int8_t stored(int32_t channel, uint8_t pixel) { return fomoad_input_table[channel][pixel]; }

int fomoad_prepare(const fomoad_image *image, fomoad_workspace *workspace, int8_t input[FOMOAD_INPUT_BYTES]) {
    const int error = check(image);
    fit where;
    int32_t columns, rows, row, i, c, offset = 0;
    if (error) return error;
    where = fit_of(image);
    columns = where.target[2] - where.target[0];
    rows = where.target[3] - where.target[1];
    for (i = 0; i < FOMOAD_INPUT_BYTES; i++) input[i] = stored(i % FOMOAD_INPUT_CHANNELS, 0);
    for (i = 0; i < columns; i++) {
        int32_t first;
        const int32_t count = weigh(image->width, (float)where.source[0], (float)where.source[2], columns, i,
                                    workspace->weights + offset, &first);
        workspace->first[i] = (uint16_t)first;
        workspace->count[i] = (uint16_t)count;
        workspace->offset[i] = (uint16_t)offset;
        offset += count;
    }
    for (row = 0; row < rows; row++) {
        int32_t first;
        const int32_t count = weigh(image->height, (float)where.source[1], (float)where.source[3], rows, row,
                                    workspace->row_weights, &first);
        int8_t *out = input + ((where.target[1] + row) * FOMOAD_INPUT_WIDTH + where.target[0]) * FOMOAD_INPUT_CHANNELS;
        for (i = 0; i < columns * FOMOAD_INPUT_CHANNELS; i++) workspace->sums[i] = ROUNDED_HALF;
        for (i = 0; i < count; i++)
            add_row(image, (uint32_t)(first + i), columns, workspace->row_weights[i], workspace);
        for (i = 0; i < columns; i++) {
            for (c = 0; c < FOMOAD_INPUT_CHANNELS; c++) {
                const int32_t from = FOMOAD_REVERSED_CHANNELS ? FOMOAD_INPUT_CHANNELS - 1 - c : c;
                out[i * FOMOAD_INPUT_CHANNELS + c] =
                    stored(c, clipped(workspace->sums[i * FOMOAD_INPUT_CHANNELS + from]));
            }
        }
    }
    return FOMOAD_OK;
}

/* Where an edge in pixels of the input lies in the camera's image; edges in the padding move to the image's edge. */
static int32_t to_image(double edge, double from, double to, int32_t low, int32_t high) {
    const double each = (to - from) / (high - low);
    return nearest(from + (smaller(larger(edge, low), high) - low) * each);
}

static int box_of(const int32_t bounds[4], const fit *where, fomoad_box *box) {
    const double half_y = FOMOAD_CELL_WINDOW_Y / 2, half_x = FOMOAD_CELL_WINDOW_X / 2;
    const double top = FOMOAD_CELL_ORIGIN_Y + bounds[0] * FOMOAD_CELL_STRIDE_Y - half_y;
    const double bottom = FOMOAD_CELL_ORIGIN_Y + bounds[2] * FOMOAD_CELL_STRIDE_Y + half_y;
    const double left = FOMOAD_CELL_ORIGIN_X + bounds[1] * FOMOAD_CELL_STRIDE_X - half_x;
    const double right = FOMOAD_CELL_ORIGIN_X + bounds[3] * FOMOAD_CELL_STRIDE_X + half_x;
    box->left = to_image(left, where->source[0], where->source[2], where->target[0], where->target[2]);
    box->right = to_image(right, where->source[0], where->source[2], where->target[0], where->target[2]);
    box->top = to_image(top, where->source[1], where->source[3], where->target[1], where->target[3]);
    box->bottom = to_image(bottom, where->source[1], where->source[3], where->target[1], where->target[3]);
    return box->left < box->right && box->top < box->bottom;
}

/* Take a group of flagged cells that touch, at corners too, off the map; its bounds are those of its cells. */
static int8_t take_group(const int8_t *output, int32_t cell, fomoad_workspace *work, int32_t bounds[4]) {
    int32_t waiting = 0, row, column;
    int8_t highest = output[cell];
    work->queue[waiting++] = (uint16_t)cell;
    work->flagged[cell] = 0;
    bounds[0] = bounds[2] = cell / FOMOAD_COLUMNS;
    bounds[1] = bounds[3] = cell % FOMOAD_COLUMNS;
    while (waiting) {
        const int32_t at = work->queue[--waiting], y = at / FOMOAD_COLUMNS, x = at % FOMOAD_COLUMNS;
        if (output[at] > highest) highest = output[at];
        if (y > bounds[2]) bounds[2] = y;
        if (x < bounds[1]) bounds[1] = x;
        if (x > bounds[3]) bounds[3] = x;
        for (row = y - 1; row <= y + 1; row++) {
            for (column = x - 1; column <= x + 1; column++) {
                const int32_t near = row * FOMOAD_COLUMNS + column;
                if (row < 0 || row >= FOMOAD_ROWS || column < 0 || column >= FOMOAD_COLUMNS) continue;
                if (!work->flagged[near]) continue;
                work->flagged[near] = 0;
                work->queue[waiting++] = (uint16_t)near;
            }
        }
    }
    return highest;
}

void fomoad_read(const int8_t output[FOMOAD_CELLS], const fomoad_image *image, fomoad_workspace *workspace,
                 fomoad_result *result) {
    const int placed = check(image) == FOMOAD_OK;
    const fit where = placed ? fit_of(image) : whole_input();
    int32_t cell, bounds[4];
    result->score = output[0];
    result->box_count = 0;
    for (cell = 0; cell < FOMOAD_CELLS; cell++) {
        if (output[cell] > result->score) result->score = output[cell];
        workspace->flagged[cell] = output[cell] >= FOMOAD_THRESHOLD;
    }
    result->anomalous = result->score >= FOMOAD_THRESHOLD;
    for (cell = 0; cell < FOMOAD_CELLS; cell++) {
        if (workspace->flagged[cell]) {
            fomoad_box *box = &result->boxes[result->box_count];
            box->score = take_group(output, cell, workspace, bounds);
            if (placed && box_of(bounds, &where, box)) result->box_count++;
        }
    }
}

float fomoad_score(int8_t value) { return FOMOAD_OUTPUT_SCALE * (float)(value - FOMOAD_OUTPUT_ZERO_POINT); }

int fomoad_vote_add(fomoad_vote *vote, int anomalous) {
    const uint32_t kept = FOMOAD_VOTE_IMAGES < 32 ? ((uint32_t)1 << (FOMOAD_VOTE_IMAGES % 32)) - 1 : UINT32_MAX;
    uint32_t left;
    int32_t found = 0;
    vote->history = ((vote->history << 1) | (anomalous != 0)) & kept;
    for (left = vote->history; left; left &= left - 1) found++;
    return found >= FOMOAD_VOTE_NEEDED;
}

void fomoad_count(fomoad_counters *counters, const fomoad_result *result) {
    int32_t number = 0;
    while (number < FOMOAD_COUNTER_EDGES && result->score >= fomoad_counter_edges[number]) number++;
    counters->counts[result->anomalous ? FOMOAD_COUNTER_EDGES + 1 : number]++;
}
