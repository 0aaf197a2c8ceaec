/* What QEMU's PC lacks of a laptop: a battery, an AC adapter, a lid, a sleep button.
 *
 * They show what the host has written into a page that the machine has as the memory of an ivshmem
 * device in slot 0x10 (laptop.py, class Acpi: the same words). A thermal zone, which the kernel polls
 * twice a second, tells the kernel of changes, so that drivers and udev see events as on a laptop.
 *
 * The page is found by the device's configuration space: after S3 only that leads to it. A page that is
 * not there reads 0, which has to mean AC off and lid open: a closed lid would send the laptop to sleep. */
DefinitionBlock ("laptop.aml", "SSDT", 2, "LODGE", "LAPTOP", 1)
{
	External (\_SB, DeviceObj)
	External (\_SB.PCI0, DeviceObj)
	External (\_SB.PCI0.S80, DeviceObj)

	Scope (\_SB.PCI0.S80) /* QEMU's name of slot 0x10 */
	{
		OperationRegion (PCFG, PCI_Config, 0, 0x40)
		Field (PCFG, DWordAcc, NoLock, Preserve)
		{
			VEND, 16,
			, 16,
			CMND, 32,
			Offset (0x18), /* BAR 2: the page */
			BAR2, 32
		}
	}

	Scope (\_SB)
	{
		/* Word Arg0 of the page. */
		Method (WORD, 1, Serialized)
		{
			Local0 = \_SB.PCI0.S80.BAR2 & 0xFFFFFFF0
			If ((\_SB.PCI0.S80.VEND != 0x1AF4) || (Local0 == 0) || !(\_SB.PCI0.S80.CMND & 2))
			{
				Return (0)
			}
			Local0 += Arg0 * 4
			OperationRegion (PAGE, SystemMemory, Local0, 4)
			Field (PAGE, DWordAcc, NoLock, Preserve) { VALU, 32 }
			Return (VALU)
		}

		Device (BAT0)
		{
			Name (_HID, EisaId ("PNP0C0A"))
			Name (_UID, 0)
			Name (_PCL, Package () { \_SB })
			Method (_STA)
			{
				If (WORD (6)) { Return (0x1F) }
				Return (0x0F) /* the bay is there, the battery is not */
			}
			/* In mWh: design capacity, last full charge, rechargeable, design mV, warning, low, ... */
			Method (_BIF)
			{
				Return (Package () { 0, 50000, 45000, 1, 11400, 5000, 1000, 10, 10,
					"LABBAT", "0001", "LION", "LODGE" })
			}
			Name (STAT, Package () { 0, 0, 0, 0 })
			Method (_BST, 0, Serialized)
			{
				STAT [0] = WORD (1)
				STAT [1] = WORD (2)
				STAT [2] = WORD (3)
				STAT [3] = WORD (4)
				Return (STAT)
			}
		}

		Device (AC0)
		{
			Name (_HID, "ACPI0003")
			Name (_PCL, Package () { \_SB })
			Method (_STA) { Return (0x0F) }
			Method (_PSR) { Return (WORD (0)) }
		}

		Device (LID0)
		{
			Name (_HID, EisaId ("PNP0C0D"))
			Method (_STA) { Return (0x0F) }
			Method (_LID) { Return (!WORD (5)) }
		}

		Device (SLPB)
		{
			Name (_HID, EisaId ("PNP0C0E"))
			Method (_STA) { Return (0x0B) }
		}
	}

	Scope (\_TZ)
	{
		ThermalZone (TZ0)
		{
			Name (SEEN, 0) /* the page's number of the change that was told last */
			Name (WAC, 0xFF)
			Name (WLID, 0xFF)
			Name (_TZP, 5) /* tenths of a second */
			Method (_CRT) { Return (3800) }
			Method (_TMP, 0, Serialized)
			{
				Local0 = \_SB.WORD (7)
				If (Local0 != SEEN)
				{
					SEEN = Local0
					Notify (\_SB.BAT0, 0x80)
					Local1 = \_SB.WORD (0)
					If (Local1 != WAC)
					{
						WAC = Local1
						Notify (\_SB.AC0, 0x80)
					}
					Local1 = \_SB.WORD (5)
					If (Local1 != WLID)
					{
						WLID = Local1
						Notify (\_SB.LID0, 0x80)
					}
				}
				Return (3000) /* tenths of a kelvin */
			}
		}
	}
}
