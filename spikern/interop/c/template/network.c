/* @title@; see @name@.h. Compile it without contraction of products and sums
   (-ffp-contract=off) for results that are the same on every machine. */
#include "@name@.h"

@includes@
/* The input of a step: an array, or events. */
typedef struct {
    const float *dense;
    const @name@_event *events;
    int count;
} input;

@constants@
@functions@

void @name@_init(@name@_state *s)
{
    memset(s, 0, sizeof *s);
}

void @name@_step(@name@_state *s, const float *x)
{
    const input in = {x, NULL, 0};
    advance(s, in);
}

int @name@_step_events(@name@_state *s, const @name@_event *events, int count)
{
    if (count < 0 || count > @NAME@_INPUTS)
        return -1;
    for (int j = 0; j < count; j++)
        if (events[j].channel >= @NAME@_INPUTS)
            return -1;
    const input in = {NULL, events, count};
    advance(s, in);
    return 0;
}

int @name@_answer(const @name@_state *s, float *logits)
{
    int best = 0;
    answer(s, logits);
    for (int j = 1; j < @NAME@_OUTPUTS; j++)
        if (logits[j] > logits[best])
            best = j;
    return best;
}
