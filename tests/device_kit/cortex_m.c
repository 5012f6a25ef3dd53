/* Starts a program on an emulated Cortex-M4 (qemu's mps2-an386), whose files lie on the machine that emulates it. */
extern void _start(void);
extern char __stack_top[];

void _init(void) {}

void _fini(void) {}

static void reset(void) {
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20; /* the floating-point unit is off at the start */
    _start();
}

static void fault(void) {
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) void *const vectors[16] = {__stack_top, (void *)reset, (void *)fault,
                                                                      (void *)fault};
