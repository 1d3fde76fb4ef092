// Line editing through libedit's readline interface (BSD licence; GNU readline would make the binary GPL).
#include <stdio.h>
#include <editline/readline.h>
