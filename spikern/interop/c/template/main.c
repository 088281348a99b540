/* Reads a sequence as text, @taken@ per step, and prints the answer. */
#include <stdio.h>

#include "@name@.h"

int main(void)
{
    static @name@_state state;
    float x[@NAME@_INPUTS], logits[@NAME@_OUTPUTS];
    long steps = 0;
    int n = 0;
    @name@_init(&state);
    while (scanf("%f", &x[n]) == 1) {
        if (++n == @NAME@_INPUTS) {
            @name@_step(&state, x);
            steps++;
            n = 0;
        }
    }
    if (n || !steps || !feof(stdin)) {
        fprintf(stderr, "expected numbers, %d per step; step %ld has %d\n", @NAME@_INPUTS, steps + 1,
                n);
        return 1;
    }
    const int best = @name@_answer(&state, logits);
    printf("answer %d after %ld steps:", best, steps);
    for (int j = 0; j < @NAME@_OUTPUTS; j++)
        printf(" %g", logits[j]);
    printf("\n");
    return 0;
}
