/* Runs an exported network over stored sequences and prints, for each, its instructions, those of
   its longest step, and its answers.

   With `-icount shift=0` every instruction takes one nanosecond of the emulated clock, and SysTick
   counts that clock in units of 40 ns, so a count is exact to 40 instructions. QEMU has no wait
   states and no caches: these are instructions, not cycles. On another system it prints answers and
   writes their logits to logits.bin. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "net.h"
#include "sizes.h"

#define STORED(kind, name)                                                                        \
    extern const kind name[];                                                                     \
    __asm__(".section .rodata\n .balign 8\n .global " #name "\n" #name ":\n .incbin \"" FOLDER    \
            "/" #name ".bin\"\n .text")

STORED(int32_t, starts); /* the first step of each sequence, and the end of the last */
#if EVENTS
STORED(int32_t, begins); /* the first event of each step, and the end of the last */
STORED(net_event, events);
#else
STORED(float, inputs);
#endif

static net_state state;
static float logits[NET_OUTPUTS];
static uint16_t answers[LONGEST];

#if defined(__arm__)
#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define TICK 40

static void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(uint64_t value, char end)
{
    char text[24];
    char *at = text + sizeof text - 1;
    *at = 0;
    *--at = end;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    semihosting(0x04, at);
}

static void start_clock(void)
{
    SYST_RVR = 0xFFFFFF;
    SYST_CVR = 0;
    SYST_CSR = 5;
}

static uint32_t clock_now(void)
{
    return 0xFFFFFF - SYST_CVR;
}

static void keep(const float *numbers)
{
    (void)numbers;
}
#else
#define TICK 0

static void print(uint64_t value, char end)
{
    printf("%lu%c", (unsigned long)value, end);
}

static void start_clock(void)
{
}

static uint32_t clock_now(void)
{
    return 0;
}

static void keep(const float *numbers)
{
    static FILE *file;
    if (!file)
        file = fopen(FOLDER "/logits.bin", "wb");
    if (!file || fwrite(numbers, sizeof *numbers, NET_OUTPUTS, file) != NET_OUTPUTS)
        abort();
}
#endif

int main(void)
{
    start_clock();
    for (int k = 0; k < SEQUENCES; k++) {
        uint64_t ticks = 0, longest = 0;
        uint32_t last = clock_now();
        int n = 0;
        net_init(&state);
        for (int t = starts[k]; t < starts[k + 1]; t++) {
#if EVENTS
            net_step_events(&state, events + begins[t], begins[t + 1] - begins[t]);
#else
            net_step(&state, inputs + (uint32_t)t * NET_INPUTS);
#endif
            if (EVERY_STEP || t + 1 == starts[k + 1]) {
                answers[n++] = (uint16_t)net_answer(&state, logits);
                keep(logits);
            }
            const uint32_t now = clock_now();
            const uint32_t step = (now - last) & 0xFFFFFF;
            ticks += step;
            if (step > longest)
                longest = step;
            last = now;
        }
        print(ticks * TICK, ' ');
        print(longest * TICK, ' ');
        for (int j = 0; j < n; j++)
            print(answers[j], j + 1 < n ? ' ' : '\n');
    }
    return 0;
}

#if defined(__arm__)
void reset(void)
{
#if defined(__ARM_FP)
    CPACR |= 0xF << 20; /* the floating-point unit */
    __asm__ volatile("dsb\n isb");
#endif
    main();
    semihosting(0x18, (const void *)0x20026); /* the end, without an error */
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) const void *const vectors[] = {
    (void *)0x20400000, /* the stack, from the end of the data memory down */
    (void *)reset,
};
#endif
