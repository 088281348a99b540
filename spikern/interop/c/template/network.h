/* @title@

   Written by spikern @version@. Constants take @flash@ bytes of read-only memory, beside the code;
   a state takes @ram@ bytes. There are no other variables and no allocation.

       @name@_state state;
       @name@_init(&state);
       for each step:
           @name@_step(&state, x);
       int best = @name@_answer(&state, logits);

   One state is one sequence. Several states may be advanced in turn, or in several threads. */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { @NAME@_INPUTS = @inputs@, @NAME@_OUTPUTS = @outputs@ };

/* An input that is not zero. */
typedef struct {
    uint16_t channel; /* 0 .. @NAME@_INPUTS - 1 */
    float value;
} @name@_event;

typedef struct {
@members@
} @name@_state;

/* Set a state to that before the first step. */
void @name@_init(@name@_state *s);

/* Advance by one step; x has one number for every input. */
void @name@_step(@name@_state *s, const float *x);

/* Advance by one step with a list of the inputs that are not zero, in ascending order of channels
   for results equal to those of `@name@_step`. Returns 0, or -1, with nothing done, if a channel
   does not exist or there are more events than inputs. */
int @name@_step_events(@name@_state *s, const @name@_event *events, int count);

/* Write one number for every output, @answer@, and return which is the largest. */
int @name@_answer(const @name@_state *s, float *logits);

#ifdef __cplusplus
}
#endif

#endif
