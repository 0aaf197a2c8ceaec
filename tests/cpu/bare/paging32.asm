; paging32: two-level paging with 4 KiB and 4 MiB pages; SDM volume 3, 4.3 "32-bit paging"
%include "rt.inc"

section .bss
	alignb 4096
dir:	resb 4096
table:	resb 4096
frame_a: resb 4096
frame_b: resb 4096

section .text
bits 32
VIRT equ 0x40000000	; through the table
BIG equ 0x80000000	; by a 4 MiB page onto 0
main:
	; identity map of everything by 4 MiB pages but for one table at VIRT
	mov eax, cr4
	or eax, 0x10		; PSE
	mov cr4, eax
	xor ecx, ecx
.id:	mov eax, ecx
	shl eax, 22
	or eax, 0x87
	mov [dir + ecx * 4], eax
	inc ecx
	cmp ecx, 1024
	jb .id
	mov dword [dir + (VIRT >> 22) * 4], table + 7
	mov dword [table + 0 * 4], frame_a + 7
	mov dword [table + 1 * 4], frame_b + 7
	mov dword [table + 2 * 4], 0
	mov dword [table + 3 * 4], frame_a + 5		; read only
	mov dword [table + 4 * 4], frame_a + 3		; supervisor
	mov dword [dir + (BIG >> 22) * 4], 0x83
	mov dword [dir + (BIG >> 22) * 4 + 4], 0
	mov dword [frame_a], 0xaaaa0001
	mov dword [frame_b], 0xbbbb0002
	mov eax, dir
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000	; PG, WP
	mov cr0, eax
	jmp .on
.on:
	EQ [VIRT], 0xaaaa0001, "first page"
	EQ [VIRT + 0x1000], 0xbbbb0002, "second page"
	mov eax, [VIRT + 0xfff]		; over both pages: the last byte of A, three of B
	EQ eax, 0xbb000200, "read across a page border"
	mov dword [VIRT + 0xffe], 0x11223344
	EQ [frame_a + 0xffc], 0x33440000, "write across, first page"
	EQ [frame_b], 0xbbbb1122, "write across, second page"

	; error codes: bit 0 protection, 1 write, 2 user
	FAULTS "read of a missing page", VEC_PF, 0, mov eax, [VIRT + 0x2004]
	EQ [x_cr2], VIRT + 0x2004, "CR2 of a read"
	FAULTS "write of a missing page", VEC_PF, 2, mov [VIRT + 0x2008], eax
	EQ [x_cr2], VIRT + 0x2008, "CR2 of a write"
	FAULTS "read of a missing table", VEC_PF, 0, mov al, [BIG + 0x400010]
	FAULTS "write of a read-only page", VEC_PF, 3, mov [VIRT + 0x3010], eax
	RUNS "read of a read-only page", mov eax, [VIRT + 0x3010]
	RUNS "supervisor page from CPL 0", mov [VIRT + 0x4010], eax
	; an access over the border faults on the missing page, at its first byte, and writes nothing
	mov dword [frame_b + 0xffc], 0x55555555
	FAULTS "write over into a missing page", VEC_PF, 2, mov dword [VIRT + 0x1ffe], -1
	EQ [x_cr2], VIRT + 0x2000, "CR2 is the missing page's first byte"
	EQ [frame_b + 0xffc], 0x55555555, "nothing was written"
	; read-modify-write needs write access at once
	FAULTS "or to a missing page", VEC_PF, 2, or dword [VIRT + 0x2000], 1
	FAULTS "cmpxchg that will not store still needs write access", VEC_PF, 3, \
		lock cmpxchg [VIRT + 0x3000], ecx

	; WP off: the supervisor writes read-only pages
	mov eax, cr0
	and eax, ~0x10000
	mov cr0, eax
	RUNS "read-only page with WP clear", mov dword [VIRT + 0x3ff0], 0x77
	EQ [frame_a + 0xff0], 0x77, "it was written"
	or eax, 0x10000
	mov cr0, eax

	; CPL 3
	USER .u_missing
	WAS "user read of a missing page", VEC_PF, 4, .u_missing
	USER .u_super
	WAS "user read of a supervisor page", VEC_PF, 5, .u_super
	USER .u_write
	WAS "user write of a read-only page", VEC_PF, 7, .u_write
	USER .u_fine
	WAS "user read of a user page", VEC_DONE, 0, .u_fine_end
	USER VIRT + 0x2000
	WAS "user fetch from a missing page", VEC_PF, 4, VIRT + 0x2000
	EQ [x_cr2], VIRT + 0x2000, "CR2 of a fetch"
	; the stricter of directory and table wins
	mov dword [dir + (VIRT >> 22) * 4], table + 5
	mov eax, cr3
	mov cr3, eax
	FAULTS "directory entry read-only", VEC_PF, 3, mov [VIRT], eax
	mov dword [dir + (VIRT >> 22) * 4], table + 3
	mov eax, cr3
	mov cr3, eax
	USER .u_fine
	WAS "directory entry supervisor", VEC_PF, 5, .u_fine
	mov dword [dir + (VIRT >> 22) * 4], table + 7
	mov eax, cr3
	mov cr3, eax

	; 4 MiB pages
	mov dword [frame_a + 0x20], 0xcafe
	EQ [BIG + frame_a + 0x20], 0xcafe, "4 MiB page"
	mov dword [BIG + frame_a + 0x24], 0xbeef
	EQ [frame_a + 0x24], 0xbeef, "write through a 4 MiB page"
	; bits 20:13 of such an entry are address bits 39:32, bit 21 is reserved
	mov dword [dir + (BIG >> 22) * 4], 0x200087
	mov eax, cr3
	mov cr3, eax
	FAULTS "bit 21 of a 4 MiB page is reserved", VEC_PF, 9, mov eax, [BIG]
	; changes need an invlpg
	mov dword [table], frame_b + 7
	invlpg [VIRT]
	EQ [VIRT + 0x100], [frame_b + 0x100], "invlpg"
	mov dword [frame_b + 0x100], 0x1234
	EQ [VIRT + 0x100], 0x1234, "the other frame after invlpg"
	; invlpg of another address of the same page
	mov dword [frame_a + 0x100], 0x4321
	mov dword [table], frame_a + 7
	invlpg [VIRT + 0xabc]
	EQ [VIRT + 0x100], 0x4321, "invlpg by any address of the page"
	; PG off: physical again
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	EQ [frame_b + 0x100], 0x1234, "paging off"
	FINISH
.u_missing:
	mov eax, [VIRT + 0x2000]
	DONE
.u_super:
	mov eax, [VIRT + 0x4000]
	DONE
.u_write:
	mov [VIRT + 0x3000], eax
	DONE
.u_fine:
	mov eax, [VIRT]
	DONE
.u_fine_end:
