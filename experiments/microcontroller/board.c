/* Runs an exported network over embedded sequences and counts its instructions.

   With `-icount shift=0` every instruction takes one nanosecond of the emulated clock, and SysTick
   counts that clock in steps of 40 ns. The count of a sequence is therefore exact to 40
   instructions. It has no caches and no wait states: instructions, not cycles. */
#include <stdint.h>

#include "net.h"
#include "sequences.h"

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

static void print_number(int64_t value, char end)
{
    char text[24];
    char *at = text + sizeof text - 1;
    const int negative = value < 0;
    uint64_t rest = (uint64_t)(negative ? -value : value);
    *at = 0;
    *--at = end;
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (negative)
        *--at = '-';
    semihosting(0x04, at);
}

static net_state state;
static float logits[NET_OUTPUTS];

static uint16_t answers[LONGEST];

int main(void)
{
    for (int k = 0; k < SEQUENCES; k++) {
        int n = 0;
        SYST_RVR = 0xFFFFFF;
        SYST_CVR = 0;
        SYST_CSR = 5;
        net_init(&state);
        for (int t = starts[k]; t < starts[k + 1]; t++) {
#if EVENTS
            net_step_events(&state, events + begins[t], begins[t + 1] - begins[t]);
#else
            net_step(&state, inputs + (uint32_t)t * NET_INPUTS);
#endif
            if (EVERY_STEP || t + 1 == starts[k + 1])
                answers[n++] = (uint16_t)net_answer(&state, logits);
        }
        const uint32_t ticks = 0xFFFFFF - SYST_CVR;
        const int overflow = (SYST_CSR >> 16) & 1;
        SYST_CSR = 0;
        print_number(overflow ? -1 : (int64_t)ticks * TICK, ' ');
        for (int j = 0; j < n; j++)
            print_number(answers[j], j + 1 < n ? ' ' : '\n');
    }
    semihosting(0x18, (const void *)0x20026);
    for (;;)
        ;
}

void reset(void)
{
#if defined(__ARM_FP)
    CPACR |= 0xF << 20;
    __asm__ volatile("dsb\n isb");
#endif
    main();
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) const void *const vectors[] = {
    (void *)0x20400000, /* the stack, from the end of the data memory down */
    (void *)reset,
};
