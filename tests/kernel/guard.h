// guard.h -- a process that waits for the end of a program and undoes what it leaves behind.
//
// File systems and loop devices go away with the last process that uses them. Directories,
// groups, settings of the system and further processes do not, when a program is killed. So the
// program runs in a child; its parent waits for its end, or for a signal that asks for it.

#ifndef LSM_TESTS_KERNEL_GUARD_H
#define LSM_TESTS_KERNEL_GUARD_H

// Forks, and returns in the child. The parent kills all that the child has started when the child
// ends or a signal tells it to end, undoes what is noted, and ends as the child did.
// Exits when there are no more processes.
void guard_begin(void);

// Has `undo` called with a copy of `what` when the program has ended. Without guard_begin(), does
// nothing.
void guard_note(void (*undo)(const char *what), const char *what);

// Undoes at once, and forgets, the newest note of this kind; nothing if there is none.
void guard_undo(void (*undo)(const char *what));

// Forgets the newest note of this kind.
void guard_forget(void (*undo)(const char *what));

#endif
