; accessed-dirty: A and D bits in the paging structures; SDM volume 3, 4.8
%include "rt.inc"

section .bss
	alignb 4096
pdpt2:	resb 4096
pd2:	resb 4096
table:	resb 4096
frame_a: resb 4096
frame_b: resb 4096

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
HIGH equ 0xffff800000000000
A equ 0x20
D equ 0x40
%macro CLEAN 0
	mov qword [rt_pml4 + 256 * 8], pdpt2 + 7
	mov qword [pdpt2], pd2 + 7
	mov qword [pd2], table + 7
	mov qword [pd2 + 8], 0x87
	mov qword [table], frame_a + 7
	mov qword [table + 8], frame_b + 7
	mov qword [table + 16], frame_a + 5
	mov rax, cr3
	mov cr3, rax
%endmacro
%macro ADBITS 3	; entry, bits wanted, text
	mov rax, [%1]
	and eax, 0x60
	EQ rax, %2, %3
%endmacro
go:
	mov rax, cr0
	bts rax, 16
	mov cr0, rax
	mov rbx, HIGH
	CLEAN
	ADBITS table, 0, "nothing yet"
	mov al, [rbx]
	ADBITS rt_pml4 + 256 * 8, A, "read: PML4E"
	ADBITS pdpt2, A, "read: PDPTE"
	ADBITS pd2, A, "read: PDE"
	ADBITS table, A, "read: PTE"
	ADBITS table + 8, 0, "read: the next PTE"
	mov [rbx + 8], al
	ADBITS table, A | D, "write after a read: PTE"
	ADBITS pd2, A, "write: D is not set above the leaf"
	CLEAN
	mov [rbx], al
	ADBITS table, A | D, "write: PTE"
	CLEAN
	mov ax, [rbx + 0xfff]
	ADBITS table, A, "read across, first"
	ADBITS table + 8, A, "read across, second"
	CLEAN
	mov [rbx + 0xfff], ax
	ADBITS table, A | D, "write across, first"
	ADBITS table + 8, A | D, "write across, second"
	; a write that faults on its second page leaves no D there and writes nothing
	CLEAN
	mov qword [table + 8], 0
	mov byte [frame_a + 0xfff], 0x5a
	FAULTS "write across into a missing page", VEC_PF, 2, mov [rbx + 0xfff], ax
	movzx eax, byte [frame_a + 0xfff]
	EQ rax, 0x5a, "nothing written"
	; a write that is refused sets no D
	CLEAN
	FAULTS "refused write", VEC_PF, 3, mov [rbx + 0x2000], al
	mov rax, [table + 16]
	and eax, D
	EQ rax, 0, "refused write: no D"
	; large page
	CLEAN
	mov al, [rbx + 0x200000]
	ADBITS pd2 + 8, A, "2 MiB page read"
	mov [rbx + 0x200000 + frame_b], al
	ADBITS pd2 + 8, A | D, "2 MiB page written"
	; fetch
	CLEAN
	mov byte [frame_a], 0xc3
	call rbx
	ADBITS table, A, "fetch"
	; a compare-and-exchange that fails is a write all the same
	CLEAN
	mov dword [frame_a + 0x100], 1
	mov eax, 2
	mov ecx, 3
	lock cmpxchg [rbx + 0x100], ecx
	ADBITS table, A | D, "failed cmpxchg writes"
	; D cleared by software comes again only after a flush
	CLEAN
	mov [rbx], al
	mov qword [table], frame_a + 7 + A
	invlpg [rbx]
	mov [rbx], al
	ADBITS table, A | D, "D again after invlpg"
	mov qword [table], frame_a + 7
	mov rax, cr3
	mov cr3, rax
	mov [rbx], al
	ADBITS table, A | D, "A and D again after CR3"
	; tables in pages that are mapped read-only: the processor does not care
	CLEAN
	mov qword [table + 24], table + 1
	mov rsi, [rbx + 0x3000]
	mov [rbx], al
	ADBITS table, A | D, "table that is mapped read-only"
	mov rdx, [rbx + 0x3000]
	and edx, 0x60
	EQ rdx, A | D, "and seen through that mapping"
	; rep stos sets D on the pages it reached
	CLEAN
	lea rdi, [rbx + 0xff0]
	mov ecx, 0x10
	rep stosb
	ADBITS table, A | D, "rep stosb within a page"
	ADBITS table + 8, 0, "rep stosb not beyond"
	; prefetch, lea, invlpg touch nothing
	CLEAN
	lea rax, [rbx]
	invlpg [rbx]
	mov rax, [table]
	and eax, D
	EQ rax, 0, "invlpg sets no D"
	FINISH
