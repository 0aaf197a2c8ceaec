/* A program of nothing but one layer and those below it: what calls upward does not link. */
int main(void)
{
	return 0;
}
