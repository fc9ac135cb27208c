// arguments.h -- the words behind `lsmctl`: flags and operands, as a command's table wants them.
//
// A mistake in the words is told on stderr, and ends the program with exit code 2.

#ifndef LSM_TOOLS_ARGUMENTS_H
#define LSM_TOOLS_ARGUMENTS_H

#include "lsmctl.h"

// Parses what follows the name of `tool->command`, which is argv[0], into the operands and
// settings of the tool, which the caller releases.
lsm_status arguments_parse(struct tool *tool, int argc, char **argv);
// Parses the flags that all commands know, and nothing else, behind argv[0].
lsm_status arguments_parse_common(struct tool *tool, int argc, char **argv);
void arguments_release(struct tool *tool);

#endif
