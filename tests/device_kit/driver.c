/* Reads images and model outputs from standard input and writes what fomoad.c makes of them: see test_c_code.py.
 * Pixels lie in a block of exactly their size, so that the address sanitizer sees any read beyond them. */
#include <stdio.h>
#include <stdlib.h>

#include "fomoad.h"

static fomoad_workspace workspace;
static fomoad_result result;
static fomoad_vote vote;
static fomoad_counters counters;
static int8_t input[FOMOAD_INPUT_BYTES];

static int take(void *bytes, size_t count) { return fread(bytes, 1, count, stdin) == count; }

static void put(const void *bytes, size_t count) {
    if (fwrite(bytes, 1, count, stdout) != count) exit(2);
}

static void put_number(int32_t number) { put(&number, sizeof number); }

int main(void) {
    uint32_t head[5]; /* format, width, height, stride, bytes of pixels */
    while (take(head, sizeof head)) {
        uint8_t *pixels = head[4] ? malloc(head[4]) : NULL;
        int8_t *output = malloc(FOMOAD_CELLS);
        const fomoad_image image = {pixels, head[1], head[2], head[3], (fomoad_format)head[0]};
        uint16_t i;
        if (!take(pixels, head[4]) || !take(output, FOMOAD_CELLS)) return 3;
        put_number(fomoad_prepare(&image, &workspace, input));
        put(input, sizeof input);
        fomoad_read(output, &image, &workspace, &result);
        fomoad_count(&counters, &result);
        put_number(result.score);
        put_number(result.anomalous);
        put_number(fomoad_vote_add(&vote, result.anomalous));
        put_number(result.box_count);
        for (i = 0; i < result.box_count; i++) {
            const fomoad_box *box = &result.boxes[i];
            const int32_t numbers[5] = {box->left, box->top, box->right, box->bottom, box->score};
            put(numbers, sizeof numbers);
        }
        free(pixels);
        free(output);
    }
    put(counters.counts, sizeof counters.counts);
    return 0;
}
