/* Compares this kit with test_vectors/: camera bytes to input bytes, output bytes to verdict, score and boxes.
 *
 *     self_test [test_vectors]      exit code 0 where every byte is right
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fomoad.h"

static fomoad_workspace workspace;
static uint8_t camera[3 * FOMOAD_MAX_CAMERA_SIDE * FOMOAD_MAX_CAMERA_SIDE];
static int8_t input[FOMOAD_INPUT_BYTES], expected[FOMOAD_INPUT_BYTES], output[FOMOAD_CELLS];
static fomoad_result result;

static int read_file(const char *folder, const char *name, const char *end, void *bytes, size_t most, size_t least) {
    char path[512];
    FILE *file;
    size_t count;
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, end);
    file = fopen(path, "rb");
    if (!file) return printf("%s: cannot be opened\n", path), 0;
    count = fread(bytes, 1, most, file);
    fclose(file);
    if (count < least) printf("%s: cut off\n", path);
    return count >= least;
}

static int check_boxes(FILE *list, unsigned count) {
    unsigned i;
    int right = result.box_count == count;
    for (i = 0; i < count; i++) {
        long left, top, bottom, edge;
        int score;
        if (fscanf(list, "%ld %ld %ld %ld %d", &left, &top, &edge, &bottom, &score) != 5) return 0;
        if (i < result.box_count) {
            const fomoad_box *box = &result.boxes[i];
            right &= box->left == left && box->top == top && box->right == edge && box->bottom == bottom &&
                     box->score == score;
        }
    }
    return right;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "test_vectors";
    char path[512], name[64];
    unsigned format, width, height, anomalous, boxes, images = 0, wrong = 0;
    int score;
    FILE *list;
    snprintf(path, sizeof path, "%s/vectors.txt", folder);
    list = fopen(path, "r");
    if (!list) return printf("%s: cannot be opened\n", path), 1;
    while (fscanf(list, "%63s %u %u %u %d %u %u", name, &format, &width, &height, &score, &anomalous, &boxes) == 7) {
        const unsigned bytes = format == FOMOAD_RGB888 ? 3 : format == FOMOAD_GREY ? 1 : 2;
        const fomoad_image image = {camera, width, height, width * bytes, (fomoad_format)format};
        int right = 1;
        images++;
        if ((size_t)width * height * bytes > sizeof camera) return printf("%s: too large\n", name), 1;
        if (!read_file(folder, name, "camera", camera, sizeof camera, (size_t)width * height * bytes) ||
            !read_file(folder, name, "input", expected, sizeof expected, sizeof expected) ||
            !read_file(folder, name, "output", output, sizeof output, sizeof output))
            return 1;
        if (fomoad_prepare(&image, &workspace, input) != FOMOAD_OK || memcmp(input, expected, sizeof input))
            right = printf("%s: the input differs\n", name) < 0;
        fomoad_read(output, &image, &workspace, &result);
        if (!check_boxes(list, boxes) || result.score != score || result.anomalous != anomalous)
            right = printf("%s: the verdict, the score or a box differs\n", name) < 0;
        wrong += !right;
    }
    fclose(list);
    printf("%u of %u images are right\n", images - wrong, images);
    return images == 0 || wrong != 0;
}
